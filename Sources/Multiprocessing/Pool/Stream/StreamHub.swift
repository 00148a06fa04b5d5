internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// The pool's side of its streams: one thread that listens, gets to know who comes, and reads what workers say.
///
/// The thread alone has the state (`StreamHubState`); others give it commands. It waits for nobody in particular: what comes in bits
/// is put together as it comes, and what has no room is sent when there is some.
final class StreamHub: Sendable {
    enum Command {
        /// A place is there to be filled.
        case open(StreamSeat)
        /// Nobody is wanted there any more.
        case vacate(StreamSeat)
        /// The process that was started for a place has ended, or could not be started; the error says why, if it is one.
        case processEnded(StreamSeat, (any Error)?)
        /// Somebody is at the other end of a socket.
        case attach(SharedDescriptor)
        /// Let go of everything, and say when that is done.
        case close(@Sendable () -> Void)
    }

    private let engine: StreamEngine
    /// Commands to be carried out, in order; nil when the thread has ended.
    private let commands = Mutex<[Command]?>([])

    /// Starts the thread.
    ///
    /// - Throws: ``StreamError`` (`outOfResources`).
    init(_ make: (StreamEngine) -> StreamHubState) throws {
        do throws(Errno) {
            engine = try StreamEngine()
            let state = make(engine)
            let pulse = state.pulse
            do throws(Errno) {
                try state.listen()
                try pulse.start()
                let box = Handover(state)
                try Thread.detach(named: "mp-pool-stream") { [self] in run(box.take()) }
            } catch {
                pulse.end()
                throw error
            }
        } catch {
            throw StreamError(.outOfResources, "A pool's sockets cannot be served", errno: error)
        }
    }

    /// Has the thread do something.
    func give(_ command: Command) {
        let isTaken = commands.withLock { commands in
            commands?.append(command)
            return commands != nil
        }
        if isTaken { engine.ring() } else if case .close(let done) = command { done() }
    }

    private func run(_ state: consuming StreamHubState) {
        var done: [@Sendable () -> Void] = []
        while done.isEmpty {
            let tokens = engine.wait(state.untilNextLook)
            let given = commands.withLock { commands -> [Command] in
                defer { commands = [] }
                return commands ?? []
            }
            for command in given {
                if case .close(let body) = command { done.append(body) } else { state.carryOut(command) }
            }
            for token in tokens { state.serve(token) }
            state.look()
        }
        state.close()
        let late = commands.withLock { commands -> [Command] in
            defer { commands = nil }
            return commands ?? []
        }
        for case .close(let body) in late { done.append(body) }
        for body in done { body() }
    }

    /// Carries the state to the thread.
    private final class Handover: @unchecked Sendable {
        // Unchecked: written before the thread begins, taken by it once.
        private var state: StreamHubState?
        init(_ state: StreamHubState) { self.state = state }
        func take() -> StreamHubState {
            defer { state = nil }
            return state!
        }
    }
}
