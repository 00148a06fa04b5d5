/// Closures and types whose code and metadata are in a shared library.
public struct Settings: Codable, Sendable {
    var factor: Int
    public init(factor: Int) { self.factor = factor }
}

private struct Hidden: Codable { var values: [Int] }

public func makeClosure(_ settings: Settings) -> @Sendable (Int) -> String {
    let hidden = Hidden(values: [settings.factor, 2])
    return { "\($0 * settings.factor + hidden.values[1])" }
}

public func makeAsyncClosure(_ settings: Settings) -> @Sendable () async throws -> String {
    {
        await Task.yield()
        return "async \(settings.factor)"
    }
}

@inline(never)
public func generic<T: Codable & Sendable>(_ value: T) -> @Sendable () -> [T] { { [value, value] } }
