import Testing

@testable import Multiprocessing

/// Frames against bytes that come in any pieces, and against bytes that are no frames.
@Suite(.timeLimit(.minutes(1)))
struct FrameTests {
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 29)
        }
    }

    private func frame(_ random: inout Seeded) -> StreamFrame {
        let size = [0, 1, 100, 40_000, 90_000, 400_000].randomElement(using: &random)!
        let head = Int.random(in: 0...(Bool.random(using: &random) ? 50 : StreamFrame.mostHead), using: &random)
        var content = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: size)
        var pieces: [[UInt8]] = []
        while Bool.random(using: &random) {
            let count = Int.random(in: 0...content.count, using: &random)
            pieces.append(Array(content[..<count]))
            content.removeFirst(count)
        }
        return StreamFrame(
            kind: [.message, .beat, .job].randomElement(using: &random)!,
            head: (0..<head).map { UInt8(truncatingIfNeeded: $0) },
            content: pieces + [content]
        )
    }

    @Test(arguments: 0..<30) func anyPieces(seed: UInt64) throws {
        var random = Seeded(state: seed &+ 77)
        let frames = (0..<40).map { _ in frame(&random) }
        var queue = FrameQueue()
        for frame in frames { queue.append(frame) }
        // The socket takes as much as it likes, or nothing for a while.
        var wire: [UInt8] = []
        while !queue.isEmpty {
            _ = queue.send(atMost: 1000) { first, second in
                let room = Bool.random(using: &random) ? 0 : Int.random(in: 0...150_000, using: &random)
                let taken = min(room, first.count + second.count)
                wire += (Array(first) + Array(second))[..<taken]
                return taken
            }
        }
        var reader = FrameReader(limit: 1 << 20)
        var read: [StreamFrame] = []
        var position = 0
        while position < wire.count {
            let count = reader.read { room in
                let count = min(room.count, Int.random(in: 1...70_000, using: &random), wire.count - position)
                room.copyBytes(from: wire[position..<position + count])
                return count
            }
            position += count
            while let frame = try reader.next() { read.append(frame) }
        }
        // They come in one piece.
        #expect(read.map(\.bytes) == frames.map(\.bytes) && read.allSatisfy { $0.content.count <= 1 })
    }

    @Test func aReaderGoesOnWithAnotherLimit() throws {
        let frames = [StreamFrame(kind: .hello, head: [1, 2, 3]), StreamFrame(kind: .job, content: Array(0..<200))]
        let wire = frames.flatMap(\.bytes)
        var first = FrameReader(limit: 4096)
        _ = first.read { room in
            room.copyBytes(from: wire[..<150])
            return 150
        }
        #expect(try first.next() == frames[0])
        var second = FrameReader(after: first, limit: 1 << 20)
        #expect(try second.next() == nil)
        _ = second.read { room in
            room.copyBytes(from: wire[150...])
            return wire.count - 150
        }
        #expect(try second.next() == frames[1])
    }

    private func fault(_ bytes: [UInt8], limit: Int = 4096) -> StreamFault? {
        var reader = FrameReader(limit: limit)
        _ = reader.read { room in
            room.copyBytes(from: bytes)
            return bytes.count
        }
        do throws(StreamFault) {
            while try reader.next() != nil {}
            return nil
        } catch {
            return error
        }
    }

    private func isMalformed(_ fault: StreamFault?) -> Bool {
        if case .malformed? = fault { true } else { false }
    }

    private func isTooLarge(_ fault: StreamFault?) -> Bool {
        if case .tooLarge? = fault { true } else { false }
    }

    @Test func whatIsNoFrame() {
        #expect(isMalformed(fault(Array("GET / HTTP/1.1\r\n\r\n".utf8))))
        #expect(isMalformed(fault([UInt8](repeating: 0, count: 16))))
        #expect(isMalformed(fault([UInt8](repeating: 255, count: 16))))
        var header = StreamFrame(kind: .message).front
        header[6] = 1
        #expect(isMalformed(fault(header)))
        // Nothing is allocated for what is too long.
        header = StreamFrame(kind: .message).front
        header.replaceSubrange(8..<16, with: [UInt8](repeating: 255, count: 8))
        #expect(isTooLarge(fault(header, limit: 1 << 40)))
        header.replaceSubrange(8..<16, with: [0, 0, 0, 1, 0, 0, 0, 0])
        #expect(isTooLarge(fault(header)))
        header = StreamFrame(kind: .message).front
        header.replaceSubrange(0..<4, with: [255, 255, 255, 255])
        #expect(isMalformed(fault(header, limit: 1 << 40)))
    }

    /// A gigabyte that is announced and does not come costs nothing.
    @Test func whatIsAnnouncedTakesNoRoom() throws {
        var header = StreamFrame(kind: .message).front
        header.replaceSubrange(8..<16, with: withUnsafeBytes(of: UInt64(1 << 30).littleEndian) { Array($0) })
        var reader = FrameReader(limit: 2 << 30)
        _ = reader.read { room in
            room.copyBytes(from: header)
            return header.count
        }
        #expect(try reader.next() == nil)
        #expect(reader.capacity < 2 << 20)
        // And grows with what comes.
        for _ in 0..<100 {
            _ = reader.read { $0.count }
            if reader.capacity > 16 << 20 { break }
            #expect(try reader.next() == nil)
        }
        #expect(reader.capacity > 16 << 20 && reader.capacity < 64 << 20)
    }

    /// Arguments of a gigabyte are not kept for as long as the connection lives.
    @Test func whatWasSentIsLetGoOf() {
        var content = [UInt8](repeating: 1, count: 1 << 20)
        var queue = FrameQueue()
        queue.append(StreamFrame(kind: .message, content: content))
        for _ in 0..<2 { queue.append(StreamFrame(kind: .beat)) }
        _ = queue.send(atMost: 1 << 20) { first, second in first.count + second.count }
        #expect(!queue.isEmpty)
        let before = content.withUnsafeBytes { $0.baseAddress }
        content[0] = 2
        #expect(content.withUnsafeBytes { $0.baseAddress } == before, "it was copied: somebody else has it")
    }

    @Test(arguments: 0..<50) func noise(seed: UInt64) {
        var random = Seeded(state: seed)
        let bytes = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &random) }
        // An end of some kind, whatever it is.
        _ = fault(bytes)
    }

    @Test func whatTheTextsSay() throws {
        for text in ["tcp://127.0.0.1:80", "tcp://[::1]:4711", "tcp://node-1.example:1", "unix:///tmp/a b:c"] {
            #expect(WorkerAddress(text)?.description == text)
        }
        for text in [
            "", "tcp://", "tcp://a", "tcp://a:", "tcp://a:65536", "tcp://::1:80", "tcp://[::1:80", "unix://", "x://a:1",
        ] {
            #expect(WorkerAddress(text) == nil, "\(text)")
        }
        let token = try WorkerToken.random()
        #expect(token.text.count == 64 && WorkerToken(token.text) == token)
        #expect(try token != WorkerToken.random())
        for text in ["", String(token.text.dropLast()), token.text + "0", String(repeating: "g", count: 64)] {
            #expect(WorkerToken(text) == nil)
        }
        for invitation in [
            WorkerInvitation(address: .tcp(port: 5), token: token),
            WorkerInvitation(address: .unix("/tmp/x"), token: token, place: 7),
            WorkerInvitation(address: .unix("/tmp/a path  with spaces "), token: token),
            WorkerInvitation(address: .unix("/tmp/12 34"), token: token, place: 56),
        ] {
            #expect(WorkerInvitation(invitation.text + "\n") == invitation)
            var dumped = ""
            dump(invitation, to: &dumped)
            for shown in ["\(invitation)", "\(invitation.token)", String(reflecting: invitation), dumped] {
                #expect(!shown.contains(token.text) && !shown.contains("bytes"), "\(shown)")
            }
        }
        #expect(WorkerInvitation("tcp://a:1") == nil && WorkerInvitation("tcp://a:1 \(token.text) x") == nil)
    }

    @Test func whoSaysHello() throws {
        let token = try WorkerToken.random()
        let worker = StreamHello.Worker.current(place: 3)
        let good = try StreamHello.frame(of: worker, token)
        guard case .worker(let read) = StreamHello.check(good, token) else { throw CheckFailure(text: "no", place: "") }
        #expect(read.place == 3 && read.processIdentifier == worker.processIdentifier && read.host == worker.host)
        // Another secret, and every other beginning.
        guard case .stranger = StreamHello.check(good, try .random()) else { throw CheckFailure(text: "no", place: "") }
        for place in 0..<28 where !(8..<12).contains(place) {
            var bad = good
            bad.head[place] ^= 1
            guard case .stranger = StreamHello.check(bad, token) else {
                throw CheckFailure(text: "byte \(place)", place: "")
            }
        }
        func refusal(_ frame: StreamFrame) -> StreamError.Code? {
            if case .refused(let error) = StreamHello.check(frame, token) { error.code } else { nil }
        }
        #expect(refusal(try StreamHello.frame(of: worker, token, version: 9)) == .otherVersion)
        var other = worker
        other.executable = [1, 2, 3]
        #expect(refusal(try StreamHello.frame(of: other, token)) == .otherExecutable)
        var short = good
        short.head.removeLast(5)
        #expect(refusal(short) == .malformed)
        // The pool's answers.
        let terms = StreamHello.Terms(workerName: "w", silenceLimit: .seconds(1), maximumMessage: 5)
        let welcome = try StreamHello.welcome(terms, token)
        #expect(try StreamHello.open(welcome, token).maximumMessage == 5)
        #expect(throws: StreamError(.stranger, "")) { try StreamHello.open(welcome, .random()) }
        for code in [StreamError.Code.noPlace, .otherVersion, .otherExecutable, .malformed] {
            let refusal = try StreamHello.refusal(StreamError(code, "because"), token)
            #expect(throws: StreamError(code, "")) { try StreamHello.open(refusal, token) }
        }
    }
}
