internal import Glibc

/// The PEP's fifth test: fetch a small error page 100 times, each over a new connection.
///
/// The PEP had a server on its network; ours listens on loopback, in a process of its own. The client is written over
/// plain sockets, here and in Python alike, so that no HTTP library is compared.
package struct URLGet: Codable, Sendable, Hashable {
    package var port: UInt16
    package var fetches: Int

    package static let standardFetches = 100
    /// No loopback request takes this long; a server that died must not hang the run.
    static let timeoutSeconds = 10

    package init(port: UInt16, fetches: Int = standardFetches) {
        self.port = port
        self.fetches = fetches
    }

    package func run() throws {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        for _ in 0..<fetches {
            let received = try fetch(into: &buffer)
            try check("url_get: length of the answer", received, is: HTTPServer.response.count)
            guard buffer.starts(with: HTTPServer.statusLine) else {
                throw BenchmarkError(.server, "url_get: the answer does not begin with the expected status line")
            }
        }
    }

    /// One request and its whole answer; returns the length.
    private func fetch(into buffer: inout [UInt8]) throws -> Int {
        let client = try Socket()
        defer { client.close() }
        client.setTimeout(seconds: Self.timeoutSeconds)
        try client.connect(port: port)
        try client.send(Self.request)
        var received = 0
        while true {
            let count = try client.receive(into: &buffer, from: received)
            if count == 0 { return received }
            received += count
        }
    }

    private static let request = Array("GET /missing HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".utf8)
}
