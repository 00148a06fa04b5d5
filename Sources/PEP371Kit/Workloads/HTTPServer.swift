internal import Glibc

/// The small HTTP server of `url_get`: every request gets an error page of the kind that Tomcat sends.
package enum HTTPServer {
    static let acceptors = 8

    /// Serves until nobody reads `portPipe` any more, first writing its port there.
    ///
    /// The pipe (a FIFO, by path) is also the life line: the program holds the reading end, and however the program ends,
    /// the kernel closes that end, so the server cannot outlive it.
    package static func serve(portPipe path: String) throws {
        let pipe = open(path, O_WRONLY | O_CLOEXEC)
        guard pipe >= 0 else { throw BenchmarkError.errno("open \(path)") }
        defer { close(pipe) }
        let listener = try Socket()
        defer { listener.close() }
        let port = Array("\(try listener.listen())\n".utf8)
        guard write(pipe, port, port.count) == port.count else { throw BenchmarkError.errno("hand the port back") }

        // Several threads wait in `accept`: a slow client must not hold up the others.
        let threads = try (0..<acceptors).map { _ in try PlainThread { answerAll(listener) } }
        waitForReaderToLeave(pipe)
        // Wakes the threads out of `accept`.
        shutdown(listener.descriptor, Int32(SHUT_RDWR))
        for thread in threads { try thread.join() }
    }

    private static func answerAll(_ listener: Socket) {
        var request = [UInt8](repeating: 0, count: 4_096)
        while let connection = listener.accept() {
            connection.setTimeout(seconds: 1)
            try? answer(connection, &request)
            connection.close()
        }
    }

    /// Reads one request up to its empty line and answers it; closing first, as HTTP/1.0 does.
    private static func answer(_ connection: Socket, _ request: inout [UInt8]) throws {
        var length = 0
        while length < request.count {
            let count = try connection.receive(into: &request, from: length)
            if count == 0 { return }
            length += count
            if request[..<length].suffix(4).elementsEqual("\r\n\r\n".utf8) { break }
        }
        try connection.send(response)
    }

    private static func waitForReaderToLeave(_ pipe: Int32) {
        // No events asked for: `POLLERR`, which needs no asking, says that the last reader closed its end.
        var entry = pollfd(fd: pipe, events: 0, revents: 0)
        while poll(&entry, 1, -1) <= 0 || entry.revents == 0 {}
    }

    static let statusLine = Array("HTTP/1.0 404 Not Found\r\n".utf8)

    /// The whole answer, header and page.
    package static let response: [UInt8] = {
        let page = """
            <html><head><title>Apache Tomcat/6.0.16 - Error report</title><style>H1 {font-family:Tahoma,Arial,sans-serif;\
            color:white;background-color:#525D76;font-size:22px;} BODY {font-family:Tahoma,Arial,sans-serif;color:black;\
            background-color:white;} HR {color : #525D76;}</style></head><body><h1>HTTP Status 404 - /missing</h1>\
            <HR size="1" noshade="noshade"><p><b>type</b> Status report</p><p><b>message</b> <u>/missing</u></p>\
            <p><b>description</b> <u>The requested resource (/missing) is not available.</u></p>\
            <HR size="1" noshade="noshade"><h3>Apache Tomcat/6.0.16</h3></body></html>

            """
        let fields = "Content-Type: text/html;charset=utf-8\r\nContent-Length: \(page.utf8.count)\r\n\r\n"
        return statusLine + Array(fields.utf8) + Array(page.utf8)
    }()
}
