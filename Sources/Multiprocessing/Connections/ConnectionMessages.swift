extension Connection {
    /// The values that come, until nobody is left at the other end.
    ///
    ///     for try await page in connection.messages(of: Page.self) { … }
    ///
    /// Several may be iterated at once: each message goes to one of them. An error ends the iteration, not the connection.
    public func messages<Value: Decodable & Sendable>(of type: Value.Type = Value.self) -> ConnectionMessages<Value> {
        ConnectionMessages(connection: self)
    }
}

/// See ``Connection/messages(of:)``.
public struct ConnectionMessages<Element: Decodable & Sendable>: AsyncSequence, Sendable {
    let connection: Connection

    /// Receives one value after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let connection: Connection

        /// The next value; nil when nobody is left at the other end. Cancelling the task throws `CancellationError`.
        public mutating func next() async throws -> Element? {
            do {
                return try await connection.receive(Element.self)
            } catch let error as SharedStateError where error.code == .peerGone {
                return nil
            }
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(connection: connection)
    }
}
