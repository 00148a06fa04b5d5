/// The PEP's sixth test: put a number into a queue and get one out, so many times.
///
/// The PEP shows by it what a queue between processes costs more than one between threads. All copies of a case share one queue.
/// Each puts before it gets, so that nobody waits for an item that nobody puts; and each checks that as much came out, over all of
/// its own, as fits the numbers that are put: they are all alike.
package struct QueueWork: Codable, Sendable, Hashable {
    package var pairs: Int
    package var value: Int

    /// The PEP's own number is not known; its times suggest about a thousand. Ten times as many, so that the start of a process
    /// does not hide what the queue takes.
    package static let standard = QueueWork(pairs: 10_000, value: 371)

    package init(pairs: Int, value: Int = 371) {
        self.pairs = pairs
        self.value = value
    }

    /// The work in this process, on a queue between threads.
    package func run(on queue: ThreadQueue<Int>) throws {
        try run(put: queue.put, get: queue.get)
    }

    func run(put: (Int) throws -> Void, get: () throws -> Int) throws {
        var sum = 0
        for _ in 0..<pairs {
            try put(value)
            sum += try get()
        }
        try check("queue: sum of what came out", sum, is: pairs * value)
    }
}
