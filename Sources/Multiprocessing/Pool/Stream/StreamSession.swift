internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// The worker's side of a stream: one thread that connects, proves who it is, and then hears what the pool says.
///
/// The thread does nothing else, so that signs of life go out, and the pool's end is noticed, whatever tasks do.
final class StreamSession: Sendable {
    /// The session that the running code is a part of: the pool's job finds it here.
    @TaskLocal static var current: StreamSession?

    /// How it ended.
    enum End: Sendable {
        /// The worker left by itself, or was let go of.
        case left
        /// The pool is lost.
        case lost(StreamError)
    }

    private struct State {
        var receiver: (@Sendable (PoolMessage) -> Void)?
        /// What came before there was somebody to take it.
        var early: [PoolMessage] = []
        var isLeaving = false
        var isAbandoned = false
        /// From the moment on when it is there, whoever is at its other end.
        var opened: StreamChannel?
        /// Nothing is delivered any more.
        var isOver = false
    }

    /// The pool's job, once the pool has taken this worker in.
    let job = OneShot<Result<[UInt8], StreamError>>()
    let end = OneShot<End>()
    /// Set when nothing of the pool's is run any more.
    let isDone = OneShot<Void>()
    private let engine: StreamEngine
    private let channel: OneShot<StreamChannel> = OneShot()
    private let terms = OneShot<StreamHello.Terms>()
    private let state = Mutex(State())
    private let token: WorkerToken

    private static let channelToken: UInt64 = 1

    /// Starts the thread, which first calls `connect`.
    ///
    /// - Parameter patience: what connecting and being taken in may take.
    /// - Throws: ``StreamError`` (`outOfResources`).
    init(
        _ token: WorkerToken,
        place: Int?,
        patience: Duration,
        _ connect: @escaping @Sendable () throws(StreamError) -> SharedDescriptor
    ) throws(StreamError) {
        self.token = token
        do throws(Errno) {
            engine = try StreamEngine()
            let deadline = Deadline(after: patience)
            try Thread.detach(named: "mp-worker-stream") { [self] in run(place, deadline, connect) }
        } catch {
            throw StreamError(.outOfResources, "A worker's socket cannot be served", errno: error)
        }
    }

    private func run(_ place: Int?, _ deadline: Deadline, _ connect: () throws(StreamError) -> SharedDescriptor) {
        do throws(StreamError) {
            let channel = try open(try connect())
            defer { channel.close() }
            let isAbandoned = state.withLock { state in
                state.opened = channel
                return state.isAbandoned
            }
            if isAbandoned { channel.end() }
            let frame: StreamFrame
            do {
                frame = try StreamHello.frame(of: .current(place: place), token)
            } catch {
                throw StreamError(.malformed, "The hello cannot be encoded: \(error)")
            }
            channel.send(frame)
            try join(channel, deadline)
            end.set(hear(channel))
        } catch {
            job.set(.failure(error))
            end.set(state.withLock { $0.isLeaving } ? .left : .lost(error))
        }
        // Who receives has this session in turn.
        state.withLock { state in
            (state.isOver, state.receiver, state.early, state.opened) = (true, nil, [], nil)
        }
        // Whatever it is about, an initialiser or a task: without a pool it has to end.
        if case .lost = end.value, isDone.wait(timeout: Self.grace) == nil { ThisProcess.exitNow(Self.lostCode) }
    }

    /// The code that a process ends with whose pool is lost while a task goes on (EX_SOFTWARE).
    private static let lostCode: CInt = 70
    /// What the pool's code has to end by itself when the pool is lost.
    private static let grace: Duration = .milliseconds(500)

    private func open(_ socket: SharedDescriptor) throws(StreamError) -> StreamChannel {
        do throws(Errno) {
            try socket.descriptor.prepareStream(acknowledgedWithin: .seconds(60))
            return try StreamChannel(socket, token: Self.channelToken, engine: engine, limit: StreamHello.longest)
        } catch {
            throw StreamError(.invalidArgument, "The socket cannot be used for a worker", errno: error)
        }
    }

    /// Waits for the pool's answer.
    private func join(_ channel: StreamChannel, _ deadline: Deadline) throws(StreamError) {
        while true {
            let (frames, isOver) = try Self.frames(channel.receive(onlyFirst: true))
            if let first = frames.first {
                let terms = try StreamHello.open(first, token)
                channel.raiseLimit(to: terms.maximumMessage)
                self.terms.set(terms)
                self.channel.set(channel)
                return
            }
            if isOver {
                throw StreamError(
                    .stranger,
                    "The pool hung up without an answer: it does not know the secret, or is no pool, or nobody came in time"
                )
            }
            let rest = deadline.remaining ?? .seconds(60)
            if rest == .zero { throw StreamError(.unreachable, "The pool did not answer in time") }
            _ = engine.wait(rest)
            channel.sendMore()
        }
    }

    /// Hears the pool until the end.
    private func hear(_ channel: StreamChannel) -> End {
        let limit = terms.value!.silenceLimit
        var nextBeat = ContinuousClock.now
        do throws(StreamError) {
            try take(try Self.rest(channel))
            while true {
                let (frames, isOver) = try Self.frames(channel.receive())
                try take(frames)
                if isOver { throw StreamError(.poolLost, "The pool closed the connection, or the way to it is broken") }
                let now = ContinuousClock.now
                if now >= nextBeat {
                    nextBeat = now + limit / 4
                    channel.beat()
                    // As the pool does it: three beats that are missing.
                    if channel.silence >= limit * 3 / 4 {
                        throw StreamError(.poolLost, "Nothing was heard of the pool for \(limit)")
                    }
                    if channel.stall >= limit * 3 / 4 {
                        throw StreamError(.poolLost, "The pool took in nothing for \(limit)")
                    }
                }
                _ = engine.wait(nextBeat - now)
                channel.sendMore()
            }
        } catch {
            return state.withLock { $0.isLeaving } ? .left : .lost(error)
        }
    }

    /// What came together with the answer.
    private static func rest(_ channel: StreamChannel) throws(StreamError) -> [StreamFrame] {
        do throws(StreamFault) {
            return try channel.receiveRest()
        } catch {
            throw StreamError(.malformed, "The pool sent \(error)")
        }
    }

    private static func frames(
        _ received: StreamChannel.Received
    ) throws(StreamError) -> (frames: [StreamFrame], isOver: Bool) {
        switch received {
        case .frames(let frames), .more(let frames): return (frames, false)
        case .end(let frames, _): return (frames, true)
        case .fault(let fault, _): throw StreamError(.malformed, "The pool sent \(fault)")
        }
    }

    private func take(_ frames: [StreamFrame]) throws(StreamError) {
        for frame in frames {
            switch frame.kind {
            case .beat: break
            case .job: job.set(.success(frame.content.first ?? []))
            case .message:
                do throws(StreamFault) {
                    deliver(try StreamMessages.message(in: frame))
                } catch {
                    throw StreamError(.malformed, "The pool sent \(error)")
                }
            case .hello, .welcome, .refusal, .farewell, .claim:
                throw StreamError(.malformed, "The pool sent a \(frame.kind) in the middle")
            }
        }
    }

    private func deliver(_ message: PoolMessage) {
        let receiver = state.withLock { state in
            if state.receiver == nil { state.early.append(message) }
            return state.receiver
        }
        receiver?(message)
    }

    // MARK: For the worker

    /// Has messages delivered, those that have come first. On this session's thread, but for those.
    func receive(_ receiver: @escaping @Sendable (PoolMessage) -> Void) {
        // One at a time, because the thread may add to them; it delivers by itself once there are none left.
        while let early = nextEarly(orInstall: receiver) { receiver(early) }
    }

    private func nextEarly(orInstall receiver: @escaping @Sendable (PoolMessage) -> Void) -> PoolMessage? {
        state.withLock { state in
            if !state.early.isEmpty { return state.early.removeFirst() }
            if !state.isOver { state.receiver = receiver }
            return nil
        }
    }

    /// Sends a message, in order, and waits for nothing. Without its pool a worker has nothing to say to anybody: then nothing happens.
    ///
    /// - Throws: ``PoolError`` (`cannotTravel`).
    func send(_ message: PoolMessage) throws {
        guard let channel = channel.value, let terms = terms.value else { return }
        channel.send(try StreamMessages.frame(of: message, limit: terms.maximumMessage))
    }

    /// Tells how many items of a task may have begun from now on. Blocks the thread until that is on its way: if it did not get there,
    /// the pool would take items for not begun that have.
    func claim(_ task: Int, _ items: Int) {
        guard let channel = channel.value else { return }
        channel.send(StreamMessages.claim(items, of: task))
        channel.waitUntilSent()
    }

    /// Says farewell, and ends when everything was sent.
    func leave() {
        state.withLock { $0.isLeaving = true }
        // The pool then ends the connection.
        channel.value?.finish(after: StreamFrame(kind: .farewell))
    }

    /// Ends at once; while it connects, as soon as it has.
    func abandon() {
        let opened = state.withLock { state in
            (state.isLeaving, state.isAbandoned) = (true, true)
            return state.opened
        }
        job.set(.failure(StreamError(.poolLost, "The worker does not want to serve any more")))
        opened?.end()
    }
}
