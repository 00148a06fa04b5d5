/// Gives back what a scope took, however the scope is left.
enum Scope {
    /// Runs `body`, then `release`. If both fail, the body's error is the one that tells the reader more.
    static func run<Result>(_ body: () throws -> Result, _ release: () throws -> Void) throws -> Result {
        let result: Result
        do {
            result = try body()
        } catch {
            try? release()
            throw error
        }
        try release()
        return result
    }

    /// The same for an asynchronous body.
    static func run<Result>(_ body: () async throws -> Result, _ release: () throws -> Void) async throws -> Result {
        let result: Result
        do {
            result = try await body()
        } catch {
            try? release()
            throw error
        }
        try release()
        return result
    }
}
