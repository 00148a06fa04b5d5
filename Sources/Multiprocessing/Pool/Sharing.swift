/// Functions of a shared value, as functions that hold it: what a pool's function captures is sent once to each worker, decoded
/// there once, and forgotten with the function.
///
/// Unlike a closure of the user's that captures the value, these are generic over its type, which therefore can be decoded whatever
/// the optimiser left of it.
enum Sharing {
    static func bound<Shared: Codable & Sendable, R>(
        _ shared: Shared,
        _ body: @escaping @Sendable (Shared) throws -> R
    ) -> @Sendable () throws -> R {
        { try body(shared) }
    }

    static func bound<Shared: Codable & Sendable, R>(
        _ shared: Shared,
        asynchronous body: @escaping @Sendable @concurrent (Shared) async throws -> R
    ) -> @Sendable @concurrent () async throws -> R {
        { try await body(shared) }
    }

    static func bound<Shared: Codable & Sendable, Item, R>(
        _ shared: Shared,
        _ body: @escaping @Sendable (Shared, Item) throws -> R
    ) -> @Sendable (Item) throws -> R {
        { item in try body(shared, item) }
    }

    static func bound<Shared: Codable & Sendable, Item, R>(
        _ shared: Shared,
        asynchronous body: @escaping @Sendable @concurrent (Shared, Item) async throws -> R
    ) -> @Sendable @concurrent (Item) async throws -> R {
        { item in try await body(shared, item) }
    }

    // MARK: A value that the worker keeps

    static func bound<Shared: Codable & Sendable, R>(
        _ number: Int,
        keptAs type: Shared.Type,
        _ body: @escaping @Sendable (Shared) throws -> R
    ) -> @Sendable () throws -> R {
        { try body(try kept(number)) }
    }

    static func bound<Shared: Codable & Sendable, R>(
        _ number: Int,
        keptAs type: Shared.Type,
        asynchronous body: @escaping @Sendable @concurrent (Shared) async throws -> R
    ) -> @Sendable @concurrent () async throws -> R {
        { try await body(try kept(number)) }
    }

    private static func kept<Shared: Sendable>(_ number: Int) throws -> Shared {
        // Set by the worker for the tasks whose number says that they use one.
        try CurrentWorker.worker!.value(number, as: Shared.self)
    }
}
