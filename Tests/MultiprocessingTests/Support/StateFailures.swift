import Multiprocessing
import Testing

/// The kind of ``SharedStateError`` that `body` throws; nil if it throws nothing, or something else.
func failure<R>(_ body: () throws -> R) -> SharedStateError.Code? {
    do {
        _ = try body()
        return nil
    } catch {
        return (error as? SharedStateError)?.code
    }
}

/// ``failure(_:)`` for asynchronous code.
func failure<R>(_ body: () async throws -> R) async -> SharedStateError.Code? {
    do {
        _ = try await body()
        return nil
    } catch {
        return (error as? SharedStateError)?.code
    }
}
