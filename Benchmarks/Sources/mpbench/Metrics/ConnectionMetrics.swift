internal import CBaselines
internal import CShared
internal import Multiprocessing

/// A round trip over a connection between this process and a child.
let connectionMetrics: [Metric] = [
    Metric(
        name: "roundtrip_hot",
        summary: "an Int to a child and back over a connection, one after the other",
        unit: .nanoseconds,
        target: .atMost(3, times: "c_spin")
    ) { context in
        let partner = try Echo()
        return [
            Series("ours") { try partner.time(rounds: hotRounds, pause: 0) },
            Series("c_spin") { try perRound(mpb_pingpong_futex(Int32(hotRounds), true, 0), hotRounds) },
            Series("c_pipe") { try perRound(mpb_pingpong_pipe(Int32(hotRounds), 0), hotRounds) },
        ] + python(context, "roundtrip \(hotRounds / 10)", per: hotRounds / 10, every: 3)
    },
    Metric(
        name: "roundtrip_asleep",
        summary: "the same after a pause in which the child fell asleep",
        unit: .nanoseconds,
        target: .atMost(1.2, times: "c_pipe")
    ) { _ in
        let partner = try Echo()
        return [
            Series("ours") { try partner.time(rounds: coldRounds, pause: pause) },
            Series("c_pipe") { try perRound(mpb_pingpong_pipe(Int32(coldRounds), pause), coldRounds) },
            Series("c_futex") { try perRound(mpb_pingpong_futex(Int32(coldRounds), false, pause), coldRounds) },
        ]
    },
    Metric(
        name: "connection_one_way",
        summary: "an Int over a connection from a child, for each of \(items)",
        unit: .nanoseconds,
        target: .atMost(1.0 / 30, times: "cpython")
    ) { context in
        [Series("ours") { try oneWayTime() }]
            + python(context, "pipe \(items / 20) 0", per: items / 20, every: 3)
    },
]

private let hotRounds = 20_000
private let coldRounds = 50
private let pause: Int64 = 500_000
private let warmUp: Int64 = 50_000_000
private let items = 100_000

private func perRound(_ time: Int64, _ rounds: Int) throws -> Double {
    Double(try nanoseconds(time)) / Double(rounds)
}

/// A child that sends back what it receives, until its connection closes.
final class Echo: Sendable {
    private let connection: Connection
    private let child: ChildProcess<Void>

    init() throws {
        let (ours, theirs) = try Connection.pair()
        connection = ours
        child = try ChildProcess {
            while let number = try? theirs.receive(Int.self) { try theirs.send(number) }
        }
        try child.start()
        theirs.close()
    }

    deinit {
        connection.close()
        _ = try? child.join(timeout: .seconds(5))
    }

    /// Nanoseconds for a round trip; the pauses before them are not counted.
    func time(rounds: Int, pause: Int64) throws -> Double {
        try connection.send(0)
        _ = try connection.receive(Int.self, timeout: .seconds(10))
        // The kernel may have woken the partner on this very processor, from which it takes one of two that are busy after some
        // milliseconds. A forked partner begins on another one.
        let warm = mpb_now() + (pause > 0 ? 0 : warmUp)
        while mpb_now() < warm { try roundTrip(0) }
        var paused: Int64 = 0
        let begin = mpb_now()
        for round in 0..<rounds {
            if pause > 0 {
                let before = mpb_now()
                mpb_sleep(pause)
                paused += mpb_now() - before
            }
            try roundTrip(round)
        }
        return Double(mpb_now() - begin - paused) / Double(rounds)
    }

    func roundTrip(_ number: Int) throws {
        try connection.send(number)
        guard try connection.receive(Int.self, timeout: .seconds(10)) == number else {
            throw BenchmarkError("another number came back")
        }
    }
}

private func oneWayTime() throws -> Double {
    let (ours, theirs) = try Connection.pair(duplex: false)
    let child = try ChildProcess {
        for number in 0...items { try theirs.send(number) }
    }
    try child.start()
    theirs.close()
    _ = try ours.receive(Int.self, timeout: .seconds(10))
    let begin = mpb_now()
    for _ in 0..<items { _ = try ours.receive(Int.self, timeout: .seconds(10)) }
    let time = mpb_now() - begin
    try child.waitForValue()
    return Double(time) / Double(items)
}
