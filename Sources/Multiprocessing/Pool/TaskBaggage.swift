internal import MultiprocessingWire
internal import Synchronization

/// Names and values that go with a task into its worker: the trace that goes on there, who asked for it.
///
///     try await TaskBaggage.$current.withValue(["request": id]) {
///         try await pool.apply { print("for \(TaskBaggage.current["request"] ?? "nobody")") }
///     }
///
/// What is current where `submit`, `apply`, `map`, `starMap` or `imap` is called is current in the worker while a task of that call
/// runs, also when it runs once more after a crash. It can be up to ``maximumByteCount`` long; these calls throw ``PoolError``
/// (`invalidArgument`) for more.
///
/// Where it is empty and no ``TaskContextCarrier`` is installed, nothing is sent, and a call costs a look at a task-local value and a
/// lock. Otherwise it is encoded once for a call, sent once for a task, or for a map once to each worker, and decoded once for a task, or
/// for a map once for a chunk. Python has nothing like it: context variables stay in their process.
public enum TaskBaggage {
    /// What the tasks carry that the calling code submits; in a worker, what the running task carries.
    @TaskLocal public static var current: [String: String] = [:]

    /// The most bytes of UTF-8 that the names and values of a task may have together.
    ///
    /// As much as headers of network protocols allow, so that it adds little to a message.
    public static let maximumByteCount = 8192

    private static let carriers = Mutex<[any TaskContextCarrier]>([])

    /// Has a carrier put its context into the baggage of the tasks that this process submits, and take it out for those that it runs.
    ///
    /// To be called where tasks are submitted, and in the initialiser of the workers: nothing of this travels. A carrier takes the place
    /// of one of the same type. There is no way back. Does not block.
    public static func install<Carrier: TaskContextCarrier>(_ carrier: Carrier) {
        carriers.withLock { carriers in
            if let place = carriers.firstIndex(where: { $0 is Carrier }) {
                carriers[place] = carrier
            } else {
                carriers.append(carrier)
            }
        }
    }

    /// What a task that is submitted now is to carry, encoded; nil is nothing.
    ///
    /// - Throws: ``PoolError`` (`invalidArgument`).
    static func packed() throws -> [UInt8]? {
        var baggage = current
        // Outside the lock, because it is the user's code.
        for carrier in carriers.withLock({ $0 }) { carrier.inject(into: &baggage) }
        guard !baggage.isEmpty else { return nil }
        let count = baggage.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        guard count <= maximumByteCount else {
            throw PoolError(
                .invalidArgument,
                "A task's baggage of \(count) bytes is longer than \(maximumByteCount): send it as an argument"
            )
        }
        return try BinaryEncoder().encode(baggage)
    }

    /// Runs `body` with what was packed, and each carrier's context, current.
    static func unpack<R>(_ packed: [UInt8], _ body: () async throws -> R) async throws -> R {
        let baggage = try BinaryDecoder().decode([String: String].self, from: packed)
        // Nested, the last carrier's innermost, so that all are current for the body.
        func run(_ carriers: ArraySlice<any TaskContextCarrier>) async throws -> R {
            guard let first = carriers.first else { return try await body() }
            return try await first.withContext(from: baggage) { try await run(carriers.dropFirst()) }
        }
        return try await $current.withValue(baggage) { try await run(carriers.withLock { $0 }[...]) }
    }
}

/// Moves a context of some other library's, such as that of a trace, between the code that submits a task and the task.
public protocol TaskContextCarrier: Sendable {
    /// Puts what is current into the baggage of a task that is submitted. Called for every one, or once for a map.
    func inject(into baggage: inout [String: String])

    /// Runs a task, or a chunk of a map, with the context that its baggage tells of. Only called where there is some baggage.
    ///
    /// - Throws: what `body` throws. What it throws itself fails the task.
    func withContext<R>(from baggage: [String: String], _ body: () async throws -> R) async throws -> R
}
