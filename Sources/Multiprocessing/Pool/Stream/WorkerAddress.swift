internal import MultiprocessingSystem
internal import SystemPackage

/// Where a pool waits for workers that come over a socket.
///
/// As text, `tcp://host:port`, `tcp://[::1]:port` or `unix:///path`: that is how it gets to programs on other machines.
public struct WorkerAddress: Hashable, Sendable, Codable, CustomStringConvertible {
    enum Kind: Hashable, Sendable, Codable {
        case tcp(host: String, port: UInt16)
        case unix(String)
    }

    let kind: Kind

    private init(kind: Kind) {
        self.kind = kind
    }

    /// A host, by name or number, and a port.
    ///
    /// - Parameter host: for a pool the address of this machine to listen at; "0.0.0.0" is all that it has.
    /// - Parameter port: for a pool, zero is one that is free.
    public static func tcp(host: String = "127.0.0.1", port: UInt16 = 0) -> WorkerAddress {
        WorkerAddress(kind: .tcp(host: host, port: port))
    }

    /// A path in the file system, which the pool makes, for this user only, and removes; 107 bytes at most.
    public static func unix(_ path: String) -> WorkerAddress { WorkerAddress(kind: .unix(path)) }

    /// The host; nil for a path.
    public var host: String? {
        if case .tcp(let host, _) = kind { host } else { nil }
    }

    /// The port; nil for a path.
    public var port: UInt16? {
        if case .tcp(_, let port) = kind { port } else { nil }
    }

    public var description: String {
        switch kind {
        case .tcp(let host, let port): "tcp://\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path): "unix://\(path)"
        }
    }

    /// Reads the text that ``description`` gives; nil if it is not such a text.
    public init?(_ text: String) {
        if text.hasPrefix("unix://") {
            let path = text.dropFirst("unix://".count)
            guard !path.isEmpty else { return nil }
            self = .unix(String(path))
            return
        }
        guard text.hasPrefix("tcp://"), let colon = text.lastIndex(of: ":") else { return nil }
        guard let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon].dropFirst("tcp://".count)
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
        self = .tcp(host: String(host), port: port)
    }

    /// The same address with other values; a path stays as it is.
    func with(host: String? = nil, port: UInt16? = nil) -> WorkerAddress {
        guard case .tcp(let oldHost, let oldPort) = kind else { return self }
        return .tcp(host: host ?? oldHost, port: port ?? oldPort)
    }
}

extension WorkerAddress {
    /// How many may have connected without being looked at: all that a burst of workers, or of strangers, brings.
    private static let backlog: CInt = 1024

    func listen(loopbackOnly: Bool) throws(Errno) -> Descriptor {
        switch kind {
        case .tcp(let host, let port):
            try StreamSocket.listen(host: host, port: port, backlog: Self.backlog, loopbackOnly: loopbackOnly)
        case .unix(let path):
            try StreamSocket.listen(path: path, backlog: Self.backlog)
        }
    }

    /// Blocks the thread.
    func connect(within limit: Duration) throws(Errno) -> Descriptor {
        switch kind {
        case .tcp(let host, let port): try StreamSocket.connect(host: host, port: port, within: limit)
        case .unix(let path): try StreamSocket.connect(path: path, within: limit)
        }
    }
}
