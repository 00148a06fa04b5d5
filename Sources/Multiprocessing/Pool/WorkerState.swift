internal import MultiprocessingWire

/// A worker's state, made by the worker and never sent anywhere.
final class WorkerState<State>: WorkerContext, LeadingArgument, @unchecked Sendable {
    // Unchecked: a worker runs its tasks one after the other, each waits for the one before, and the exit hook for all of them.
    // So there is one user at a time, and the state need not be Sendable.
    var value: State
    private let onExit: (@Sendable @concurrent (inout State) async throws -> Void)?

    fileprivate init(_ value: State, _ onExit: (@Sendable @concurrent (inout State) async throws -> Void)?) {
        self.value = value
        self.onExit = onExit
    }

    var hasExitHook: Bool { onExit != nil }

    @concurrent func leave() async throws {
        try await onExit?(&value)
    }

    /// That of the worker whose task this is.
    static var current: WorkerState {
        // Bound functions are given to the workers of one pool only, whose set-up made this.
        CurrentWorker.context as! WorkerState
    }
}

/// Functions that travel to a worker, made of those that the user wrote.
///
/// Not members of the class: closures there hold the class's metatype, which does not travel.
enum Stateful {
    // MARK: Making the state

    static func setup<State>(
        _ make: @escaping @Sendable () throws -> State,
        _ onExit: (@Sendable (inout State) throws -> Void)?
    ) -> WorkerSetup {
        { WorkerState(try make(), asynchronous(onExit)) }
    }

    static func setup<State>(
        asynchronous make: @escaping @Sendable @concurrent () async throws -> State,
        _ onExit: (@Sendable @concurrent (inout State) async throws -> Void)?
    ) -> WorkerSetup {
        { WorkerState(try await make(), onExit) }
    }

    private static func asynchronous<State>(
        _ hook: (@Sendable (inout State) throws -> Void)?
    ) -> (@Sendable @concurrent (inout State) async throws -> Void)? {
        guard let hook else { return nil }
        return { state in try hook(&state) }
    }

    // MARK: Using it

    // A function that takes the state becomes one that finds it where it runs.

    static func bound<State, R>(_ body: @escaping @Sendable (inout State) throws -> R) -> @Sendable () throws -> R {
        { try body(&WorkerState<State>.current.value) }
    }

    static func bound<State, R>(
        asynchronous body: @escaping @Sendable @concurrent (inout State) async throws -> R
    ) -> @Sendable @concurrent () async throws -> R {
        { try await body(&WorkerState<State>.current.value) }
    }

    static func bound<State, Item, R>(
        _ body: @escaping @Sendable (inout State, Item) throws -> R
    ) -> @Sendable (Item) throws -> R {
        { item in try body(&WorkerState<State>.current.value, item) }
    }

    static func bound<State, Item, R>(
        asynchronous body: @escaping @Sendable @concurrent (inout State, Item) async throws -> R
    ) -> @Sendable @concurrent (Item) async throws -> R {
        { item in try await body(&WorkerState<State>.current.value, item) }
    }
}
