import Foundation
import Glibc
import Multiprocessing
import Testing

/// Two network namespaces, joined by a cable that can be unplugged: as near to two machines as one machine gets.
private final class TwoNetworks: Sendable {
    let pool = "mp-pool-\(getpid())"
    let workers = "mp-work-\(getpid())"
    private let cable = "mpv\(getpid() % 1_000_000)"

    /// Why there cannot be any; nil if there can.
    static let obstacle: Comment? = {
        if geteuid() != 0 { return "network namespaces need root" }
        let name = "mp-try-\(getpid())"
        guard (try? TwoNetworks.ip("netns", "add", name)) == 0 else {
            return "no network namespaces: the program 'ip' (package iproute2) is missing, or may not make any here"
        }
        _ = try? TwoNetworks.ip("netns", "del", name)
        return nil
    }()

    @discardableResult
    static func ip(_ arguments: String...) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    private func set(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip"] + arguments
        try process.run()
        process.waitUntilExit()
        try check(process.terminationStatus == 0, "ip \(arguments.joined(separator: " "))")
    }

    init() throws {
        for name in [pool, workers] { try set(["netns", "add", name]) }
        try set(["link", "add", cable, "netns", pool, "type", "veth", "peer", "name", cable, "netns", workers])
        for (name, address) in [(pool, "10.213.0.1/24"), (workers, "10.213.0.2/24")] {
            try set(["-n", name, "addr", "add", address, "dev", cable])
            try set(["-n", name, "link", "set", cable, "up"])
            try set(["-n", name, "link", "set", "lo", "up"])
        }
    }

    /// Takes the cable out at the workers' end, or puts it in.
    func plug(_ isIn: Bool) throws { try set(["-n", workers, "link", "set", cable, isIn ? "up" : "down"]) }

    deinit {
        for name in [pool, workers] { _ = try? Self.ip("netns", "del", name) }
    }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(3)))
    struct StreamNamespaceTests {
        private func run(in network: String, _ arguments: [String], environment: [String: String] = [:]) throws
            -> Scenario
        {
            try Scenario(
                ["ip", "netns", "exec", network, "\(Scenario.directory)/mp-scenarios"] + arguments,
                path: "/usr/bin/env",
                environment: environment,
                limit: 90
            )
        }

        @Test(.disabled(if: TwoNetworks.obstacle != nil, TwoNetworks.obstacle ?? ""))
        func aPoolAndItsWorkersOnTwoMachines() async throws {
            try await onThread {
                let networks = try TwoNetworks()
                let pool = try run(in: networks.pool, ["stream-pool", "tcp://10.213.0.1:0", "2"])
                let invitation = pool.nextLine()
                try check(invitation.hasPrefix("tcp://10.213.0.1:"), invitation)
                func worker() throws -> Scenario {
                    try run(in: networks.workers, ["stream-worker"], environment: ["MP_INVITATION": invitation])
                }
                let workers = try [worker(), worker()]
                try check(pool.nextLine(), is: "two workers")
                try check(pool.nextLine(), is: "sum 332833500")
                try check(pool.nextLine(), is: "at work")
                // The cable is pulled in the middle of a task: no end of file will ever come.
                let begin = ContinuousClock.now
                try networks.plug(false)
                let lost = pool.nextLine()
                let time = ContinuousClock.now - begin
                try check(lost.hasPrefix("lost silent"), lost)
                // The limit is two seconds; the rest is for a machine that is busy.
                try check(time < .seconds(8), "after \(time)")
                // The workers find out by themselves, and leave: one of them out of a task without end.
                let ends = workers.map { $0.finish() }
                for end in ends {
                    let isRight = (end.status == 3 && end.output.contains("poolLost")) || end.status == 70
                    try check(isRight, "\(end)")
                }
                try check(ContinuousClock.now - begin < .seconds(12))
                // What was lost is retried by whoever comes when the cable is in again.
                try networks.plug(true)
                let late = try worker()
                try check(pool.nextLine(), is: "retried")
                let (end, last) = (pool.finish(), late.finish())
                try check(end.status == 0, "\(end)")
                try check(last.status == 0 && last.output.contains("let go"), "\(last)")
            }
        }
    }
}
