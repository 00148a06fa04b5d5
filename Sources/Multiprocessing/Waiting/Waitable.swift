internal import MultiprocessingSystem
public import SystemPackage

/// What ``waitAny(of:timeout:)`` can wait for: connections, queues, listeners, processes, descriptors.
///
/// To conform a type of your own, return a descriptor that becomes readable when it is ready.
public protocol Waitable: Sendable {
    /// What to sleep on until it may be ready. Asked for before ``isReady``, so that nothing is missed in between.
    func waitSource() throws -> WaitSource

    /// Whether it is ready now. Does not wait.
    var isReady: Bool { get throws }
}

/// What a thread or task sleeps on until a ``Waitable`` may be ready.
public struct WaitSource: Sendable {
    enum Kind: Sendable {
        case descriptor(CInt)
        /// One of several.
        case descriptors([CInt])
        case word(FutexWord, UInt32)
        /// Nothing to sleep on: look again in a moment.
        case soon
    }

    let kind: Kind
    /// What must not go while somebody sleeps.
    private let owner: (any AnyObject & Sendable)?

    init(_ kind: Kind, keeping owner: (any AnyObject & Sendable)? = nil) {
        self.kind = kind
        self.owner = owner
    }

    /// A descriptor that is readable when something happens. It has to stay open during the wait.
    public static func descriptor(_ file: FileDescriptor) -> WaitSource {
        WaitSource(.descriptor(file.rawValue))
    }
}

extension FileDescriptor: Waitable {
    public func waitSource() -> WaitSource { .descriptor(self) }

    /// Whether it is readable, at its end or broken. One system call.
    public var isReady: Bool {
        get throws {
            do throws(Errno) {
                return try waitUntilReady(Interest(rawValue), deadline: Deadline(after: .zero))
            } catch {
                throw SharedStateError(.invalidArgument, "Descriptor \(rawValue) cannot be waited for", errno: error)
            }
        }
    }
}

extension ProcessHandle: Waitable {
    public func waitSource() throws -> WaitSource { WaitSource(.descriptor(try sentinel.rawValue), keeping: record) }

    /// Whether the process has ended.
    public var isReady: Bool { !isAlive }
}

extension ChildProcess: Waitable {
    public func waitSource() throws -> WaitSource { try handle.waitSource() }

    /// Whether the process has ended.
    public var isReady: Bool { get throws { try handle.isReady } }
}

extension Connection: Waitable {
    public func waitSource() throws -> WaitSource {
        let ring = try end.requireIncoming()
        let silence = try Wait.blocking(deadline: Deadline(after: .milliseconds(1)), spin: end.guardSpin) {
            try end.attemptSilence(ring, $0)
        }
        guard silence == .quiet else { return WaitSource(.soon) }
        let socket = try end.socket()
        return WaitSource(.descriptor(socket.descriptor.number), keeping: socket)
    }

    /// Whether a message is there or none can come: then a receive does not wait.
    public var isReady: Bool {
        get throws {
            let ring = try end.requireIncoming()
            return try !ring.isEmpty || end.peerIsGone()
        }
    }
}
