internal import CBaselines
internal import Multiprocessing

/// What 10 MB more cost a start and join: the time with them less the time of an empty body, sampled right after it.
let transferMetrics = [
    transfer("argument_10mb", "passing 10 MB of bytes as an argument", of: makeBytes) { try takingChild($0) },
    transfer("argument_10mb_ints", "passing 10 MB of Ints as an argument", of: makeIntegers) { try takingChild($0) },
    transfer("capture_10mb", "capturing 10 MB of bytes", of: makeBytes) { try capturingChild($0) },
    Metric(
        name: "return_10mb",
        summary: "returning 10 MB of bytes; less what making them costs",
        unit: .milliseconds,
        target: .atMost(3, times: "c_copy_twice")
    ) { _ in [Series("ours") { try returning(UInt8(7), count: size) }, copyTwice()] },
    Metric(
        name: "return_10mb_ints",
        summary: "returning 10 MB of Ints; less what making them costs",
        unit: .milliseconds,
        target: .atMost(3, times: "c_copy_twice")
    ) { _ in [Series("ours") { try returning(7, count: size / 8) }, copyTwice()] },
]

private let size = 10_000_000

// Made for a metric and gone after it: this process's memory is copied with every fork that other metrics measure.
@Sendable private func makeBytes() -> [UInt8] { [UInt8](repeating: 7, count: size) }
@Sendable private func makeIntegers() -> [Int] { [Int](repeating: 7, count: size / 8) }

private func copyTwice() -> Series {
    let bytes = makeBytes()
    return Series("c_copy_twice") {
        milliseconds(try bytes.withUnsafeBytes { try nanoseconds(mpb_copy_twice($0.baseAddress, $0.count)) })
    }
}

private func transfer<Element>(
    _ name: String,
    _ summary: String,
    of makeArray: @escaping @Sendable () -> [Element],
    _ make: @escaping @Sendable ([Element]) throws -> ChildProcess<Int>
) -> Metric where Element: FixedWidthInteger & Sendable {
    Metric(
        name: name,
        summary: summary + ", each page of which the child reads",
        unit: .milliseconds,
        target: .atMost(3, times: "c_copy_twice")
    ) { _ in
        let array = makeArray()
        let ours = Series("ours") {
            let with = try timed {
                let child = try make(array)
                try child.start()
                guard try child.waitForValue() == array.count else { throw BenchmarkError("elements are missing") }
            }
            pauseFor(.milliseconds(2))
            return milliseconds(try with - timeOfEmptyBody())
        }
        return [ours, copyTwice()]
    }
}

private func returning<Element>(_ element: Element, count: Int) throws -> Double
where Element: FixedWidthInteger & Codable & Sendable {
    let with = try timed {
        let child = try givingChild(element, count: count)
        try child.start()
        let array = try child.waitForValue()
        guard touched(array) == count else { throw BenchmarkError("a returned array lacks elements") }
    }
    let making = try timed {
        guard touched([Element](repeating: element, count: count)) == count else { throw BenchmarkError("no memory") }
    }
    pauseFor(.milliseconds(2))
    return milliseconds(try with - making - timeOfEmptyBody())
}

private func timeOfEmptyBody() throws -> Int64 {
    try timed {
        let child = try emptyChild(.forkServer)
        try child.start()
        try child.join()
    }
}

private func timed(_ body: () throws -> Void) throws -> Int64 {
    let begin = mpb_now()
    try body()
    return mpb_now() - begin
}
