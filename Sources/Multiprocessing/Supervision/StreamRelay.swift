internal import MultiprocessingSystem
internal import SystemPackage

/// The parent's end of a child's standard output or error: passes on what comes, and may keep the end of it.
struct StreamRelay {
    /// Where it goes.
    enum Destination {
        case standardError
        /// To somebody who takes it line by line.
        case lines(LineSplitter)
        case nowhere
    }

    /// Enough for a message and a backtrace of some depth.
    static let kept = 32 * 1024
    /// A pipe takes this much without waiting once it is found writable (PIPE_BUF).
    private static let chunk = 4096
    /// Chunks that are taken in at one go: a process that writes without end must not keep its watcher for itself.
    private static let chunksAtOnce = 32

    private var pipe: SharedDescriptor?
    private(set) var tail: [UInt8] = []
    /// Read and not yet passed on.
    private var pending: [UInt8] = []
    private var destination: Destination
    private let keepsTail: Bool

    init(pipe: SharedDescriptor?, to destination: Destination, keepsTail: Bool) {
        self.pipe = pipe
        self.destination = destination
        self.keepsTail = keepsTail
    }

    /// Whether something was read that could not be passed on yet.
    var isStalled: Bool { !pending.isEmpty }

    /// The pipe's number, while there is something to come.
    var number: CInt? {
        pipe?.descriptor.number
    }

    enum Progress { case empty, more, ended, stalled }

    /// Takes in what is there. Does not wait: if there is no room for it here, the child has to wait.
    mutating func pump(patience: Duration = .zero) -> Progress {
        guard passPending(patience) else { return .stalled }
        guard pipe != nil else { return .ended }
        return withUnsafeTemporaryAllocation(byteCount: Self.chunk, alignment: 1) { buffer in
            for _ in 0..<Self.chunksAtOnce {
                do throws(Errno) {
                    let count = try pipe!.descriptor.read(into: buffer)
                    guard count > 0 else { return .ended }
                    pending = Array(buffer[..<count])
                    if keepsTail { tail += pending }
                    if tail.count > 2 * Self.kept { tail.removeFirst(tail.count - Self.kept) }
                } catch {
                    return error == .resourceTemporarilyUnavailable ? .empty : .ended
                }
                guard passPending(patience) else { return .stalled }
            }
            return .more
        }
    }

    /// Passes on what was read; false if there is no room for it.
    private mutating func passPending(_ patience: Duration) -> Bool {
        guard !pending.isEmpty else { return true }
        switch destination {
        case .standardError:
            guard StandardError.isWritable(within: patience) else { return false }
            pending.withUnsafeBytes { StandardError.write($0) }
        case .lines(var splitter):
            guard patience > .zero || splitter.hasRoom else { return false }
            // A copy of the buffer would be made for each chunk otherwise.
            destination = .nowhere
            splitter.take(pending)
            destination = .lines(splitter)
        case .nowhere: break
        }
        pending = []
        return true
    }

    /// Hands the pipe over, to be closed when nobody waits on its number any more.
    mutating func takePipe() -> SharedDescriptor? {
        defer { pipe = nil }
        return pipe
    }

    /// Takes in the rest after the child's end. Programs that it left behind may hold the pipe open: no wait for its end.
    mutating func finish() {
        // More than a pipe holds, and not without end: what the process left behind may go on writing.
        for _ in 0..<16 {
            let progress = pump(patience: .seconds(1))
            if progress == .stalled {
                // Nobody reads this process's standard error. The report still gets its lines.
                destination = .nowhere
                pending = []
            } else if progress != .more {
                break
            }
        }
        if case .lines(var splitter) = destination {
            splitter.finish()
            destination = .nowhere
        }
    }
}
