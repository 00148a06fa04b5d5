internal import Glibc

/// A TCP socket on loopback: just what `url_get` and its server need.
struct Socket: Sendable {
    let descriptor: Int32

    init() throws(BenchmarkError) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if descriptor < 0 { throw BenchmarkError.errno("make a socket") }
    }

    private init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    func close() {
        _ = Glibc.close(descriptor)
    }

    /// Makes later sends and receives fail instead of waiting longer.
    func setTimeout(seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    }

    /// Listens on a loopback port that the kernel chooses, and returns the port.
    func listen() throws(BenchmarkError) -> UInt16 {
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withGeneric(&address) { bind(descriptor, $0, length) }
        guard bound == 0 else { throw BenchmarkError.errno("bind to 127.0.0.1") }
        let listening = Glibc.listen(descriptor, 1_024)
        guard listening == 0 else { throw BenchmarkError.errno("listen on 127.0.0.1") }
        let named = withGeneric(&address) { getsockname(descriptor, $0, &length) }
        guard named == 0 else { throw BenchmarkError.errno("ask for the port") }
        return UInt16(bigEndian: address.sin_port)
    }

    /// The next connection, or nil if the listener is of no more use.
    func accept() -> Socket? {
        while true {
            let connection = Glibc.accept(descriptor, nil, nil)
            if connection >= 0 { return Socket(descriptor: connection) }
            // A client that gave up meanwhile is no reason to stop serving.
            if errno != EINTR && errno != ECONNABORTED { return nil }
        }
    }

    func connect(port: UInt16) throws(BenchmarkError) {
        var address = loopback(port: port)
        let result = withGeneric(&address) {
            Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        guard result == 0 else { throw BenchmarkError.errno("connect to 127.0.0.1:\(port)") }
    }

    func send(_ bytes: [UInt8]) throws(BenchmarkError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                // Without a signal: a peer that went away is an error, not the end of the program.
                Glibc.send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw BenchmarkError.errno("send to 127.0.0.1")
            }
            sent += count
        }
    }

    /// Receives into `buffer` from position `start`; 0 when the peer has finished or the buffer is full.
    func receive(into buffer: inout [UInt8], from start: Int) throws(BenchmarkError) -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { bytes in
                recv(descriptor, bytes.baseAddress! + start, bytes.count - start, 0)
            }
            if count >= 0 { return count }
            if errno != EINTR { throw BenchmarkError.errno("receive from 127.0.0.1") }
        }
    }
}

private func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}

private func withGeneric<Result>(
    _ address: inout sockaddr_in,
    _ body: (UnsafeMutablePointer<sockaddr>) -> Result
) -> Result {
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
    }
}
