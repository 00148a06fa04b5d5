internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// One end of a stream of frames.
///
/// Any thread sends, and waits for nothing: what the socket does not take at once stays in the outbox, and the engine's thread sends it
/// when there is room. The engine's thread alone receives. How much may be in the outbox is up to who sends: a pool sends no more than
/// a worker's prefetched tasks before it hears of one of them.
final class StreamChannel: Sendable {
    /// What the engine calls it.
    let token: UInt64
    /// Who is at the other end, in numbers.
    let peer: String

    private struct Sending {
        var outbox = FrameQueue()
        /// Whether the engine looks out for room.
        var isWatched = false
        /// Nothing is sent any more.
        var isClosed = false
        /// This side has ended it: what the other one sent last may not have come.
        var isCutOff = false
        /// To be closed when the outbox is empty.
        var isLast = false
        var hasSentSinceBeat = false
        /// When the outbox last became smaller, or was empty.
        var lastProgress = SuspendingClock.now
    }

    private struct Receiving {
        var reader: FrameReader
        var lastHeard = SuspendingClock.now
    }

    private let socket: SharedDescriptor
    private let engine: StreamEngine
    private let sending = Mutex(Sending())
    private let receiving: Mutex<Receiving>

    /// What one call sends before it lets others have a turn.
    private static let turn = 256 << 10

    /// - Parameter socket: prepared, see `prepareStream`.
    init(_ socket: SharedDescriptor, token: UInt64, engine: StreamEngine, limit: Int) throws(Errno) {
        self.socket = socket
        self.token = token
        self.engine = engine
        peer = StreamSocket.peer(of: socket.number)
        receiving = Mutex(Receiving(reader: FrameReader(limit: limit)))
        try engine.watch(socket.number, token: token)
    }

    // MARK: Sending

    /// Sends a frame, in order, and waits for nothing. On a channel that has ended it does nothing: its end is noticed elsewhere.
    func send(_ frame: StreamFrame) {
        sending.withLock { sending in
            guard !sending.isClosed, !sending.isLast else { return }
            let wasEmpty = sending.outbox.isEmpty
            sending.outbox.append(frame)
            // Behind others it waits for its turn.
            if wasEmpty { flush(&sending) }
        }
    }

    /// Sends what is left, then says that no more will come. The other side is to end the connection: if this one did while there was
    /// something that it had not received, what it has sent would be lost.
    func finish(after frame: StreamFrame) {
        send(frame)
        sending.withLock { sending in
            sending.isLast = true
            if sending.outbox.isEmpty { finish(&sending) }
        }
    }

    private func finish(_ sending: inout Sending) {
        sending.isClosed = true
        socket.descriptor.shutDownSending()
    }

    /// Sends what there is room for. For the engine's thread.
    func sendMore() {
        sending.withLock { sending in
            if !sending.outbox.isEmpty { flush(&sending) }
        }
    }

    private func flush(_ sending: inout Sending) {
        do throws(Errno) {
            let count = try sending.outbox.send(atMost: Self.turn) { (first, second) throws(Errno) in
                do throws(Errno) {
                    return try socket.descriptor.sendStream(first, second)
                } catch {
                    if error == .resourceTemporarilyUnavailable { return 0 }
                    throw error
                }
            }
            if count > 0 {
                sending.hasSentSinceBeat = true
                sending.lastProgress = .now
            }
            let isWatched = !sending.outbox.isEmpty
            if isWatched != sending.isWatched {
                // From here on the time counts in which nothing is taken.
                sending.lastProgress = .now
                try engine.watch(socket.number, token: token, forWriting: isWatched)
                sending.isWatched = isWatched
            }
            if sending.isLast, sending.outbox.isEmpty { finish(&sending) }
        } catch {
            end(&sending)
        }
    }

    private func end(_ sending: inout Sending) {
        sending.isClosed = true
        sending.isCutOff = true
        sending.outbox = FrameQueue()
        // The engine's thread finds end of file.
        socket.descriptor.endStream()
    }

    /// Blocks the thread until the socket has taken everything that was sent so far, or the channel has ended: as long as the other side
    /// takes in nothing, which is not for longer than the silence limit.
    func waitUntilSent() {
        while sending.withLock({ !$0.outbox.isEmpty }) { ThisProcess.pause(.milliseconds(1)) }
    }

    /// Sends a sign of life, if nothing else was sent since the last.
    func beat() {
        let isDue = sending.withLock { sending in
            defer { sending.hasSentSinceBeat = false }
            return !sending.hasSentSinceBeat && sending.outbox.isEmpty
        }
        if isDue { send(StreamFrame(kind: .beat)) }
    }

    /// For how long nothing of what waits was taken; zero if nothing waits. As for the silence, the time in which this machine slept
    /// does not count.
    var stall: Duration {
        sending.withLock { $0.outbox.isEmpty ? .zero : SuspendingClock.now - $0.lastProgress }
    }

    // MARK: Receiving

    /// What came of looking for frames.
    enum Received {
        case frames([StreamFrame])
        /// There may be more right now.
        case more([StreamFrame])
        /// After these frames there will be no more. It is whole if the other side ended it: then nothing that it had sent is missing.
        case end([StreamFrame], isWhole: Bool)
        case fault(StreamFault, after: [StreamFrame])
    }

    /// Takes in what is there, or some of it if that is much. For the engine's thread.
    ///
    /// - Parameter onlyFirst: whether one frame is enough; what is behind it is not looked at.
    func receive(onlyFirst: Bool = false) -> Received {
        receiving.withLock { receiving in
            var frames: [StreamFrame] = []
            for _ in 0..<16 {
                let count: Int
                do throws(Errno) {
                    count = try receiving.reader.read { (buffer) throws(Errno) in
                        try socket.descriptor.receiveStream(into: buffer)
                    }
                } catch {
                    return error == .resourceTemporarilyUnavailable ? .frames(frames) : .end(frames, isWhole: false)
                }
                if count == 0 { return .end(frames, isWhole: !sending.withLock { $0.isCutOff }) }
                receiving.lastHeard = .now
                do throws(StreamFault) {
                    while let frame = try receiving.reader.next() {
                        frames.append(frame)
                        if onlyFirst { return .more(frames) }
                    }
                } catch {
                    return .fault(error, after: frames)
                }
            }
            return .more(frames)
        }
    }

    /// Lets frames be longer than a stranger's: who is at the other end is known, by its first frame. Its silence counts from now.
    func raiseLimit(to limit: Int) {
        receiving.withLock { receiving in
            receiving.reader = FrameReader(after: receiving.reader, limit: limit)
            receiving.lastHeard = .now
        }
    }

    /// The frames that came together with the first one.
    func receiveRest() throws(StreamFault) -> [StreamFrame] {
        let result: Result<[StreamFrame], StreamFault> = receiving.withLock { receiving in
            var frames: [StreamFrame] = []
            do throws(StreamFault) {
                while let frame = try receiving.reader.next() { frames.append(frame) }
                return .success(frames)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// For how long nothing came. To be asked after ``receive()``, lest something has come that was not looked at.
    var silence: Duration { receiving.withLock { SuspendingClock.now - $0.lastHeard } }

    /// Ends the connection at once; whoever waits for it finds end of file.
    func end() { sending.withLock { end(&$0) } }

    /// Ends the connection and lets go of it. For the engine's thread, when it is done with it.
    func close() {
        sending.withLock { end(&$0) }
        engine.forget(socket.number)
    }
}
