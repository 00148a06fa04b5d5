import Glibc
import Multiprocessing
import SystemPackage

/// Programs with named shared memory, which end in one way or another. Nothing may be left in /dev/shm.
enum Segments {
    static func run(_ arguments: [String]) async throws {
        switch arguments[0] {
        case "hold": try hold(count: Int(arguments[1])!)
        case "leave": try leave(how: arguments[1])
        case "family": try family(method: arguments[1])
        case "attach": try attach(arguments[1])
        case "create": try create(arguments[1])
        case "full": try full()
        default: require(false, "unknown \(arguments)")
        }
    }

    private static func tell(_ memory: SharedMemory) {
        say("name \(memory.name!)")
    }

    private static func sayTracker() {
        say("tracker \(TrackerProbe.processIdentifier ?? 0)")
    }

    /// Holds segments until it is killed.
    private static func hold(count: Int) throws {
        let pieces = try (0..<count).map { _ in try SharedMemory(name: nil, size: 1000) }
        for piece in pieces { tell(piece) }
        sayTracker()
        say("ready")
        withExtendedLifetime(pieces) { while true { sleep(1000) } }
    }

    /// Leaves, with a segment that it has or has not done with.
    private static func leave(how: String) throws {
        let piece = try SharedMemory(name: nil, size: 1000)
        tell(piece)
        sayTracker()
        say("ready")
        _ = readLine()
        switch how {
        case "clean": try piece.unlink()
        case "closed": piece.close()
        case "leak": withExtendedLifetime(piece) { exit(0) }
        case "trap": withExtendedLifetime(piece) { fatalError("on purpose") }
        default: require(false, how)
        }
    }

    /// A program with a child that has the parent's segment, and one of its own.
    private static func family(method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        let piece = try SharedMemory(name: nil, size: 1000)
        tell(piece)
        sayTracker()
        let child = try ChildProcess(startMethod: method) {
            let own = try SharedMemory(name: nil, size: 1000)
            tell(own)
            sayTracker()
            say("child \(getpid())")
            say("ready")
            try withExtendedLifetime(own) { try piece.withUnsafeBytes { _ in while true { sleep(1000) } } }
        }
        try child.start()
        withExtendedLifetime(child) { while true { sleep(1000) } }
    }

    /// An unrelated program that attaches, and leaves.
    private static func attach(_ name: String) throws {
        let piece = try SharedMemory(attaching: name)
        let first = try piece.withUnsafeBytes { $0[0] }
        say("found \(first)")
        withExtendedLifetime(piece) { exit(0) }
    }

    /// Makes a segment with a given name, and holds it.
    private static func create(_ name: String) throws {
        do {
            let piece = try SharedMemory(name: name, size: 10)
            sayTracker()
            say("ready")
            withExtendedLifetime(piece) { while true { sleep(1000) } }
        } catch let error as SharedStateError {
            say("error \(error.code)")
        }
    }

    /// Where /dev/shm has room for a megabyte.
    private static func full() throws {
        let small = try SharedMemory(name: "small", size: 65536)
        do {
            _ = try SharedMemory(name: "large", size: 8 << 20)
            require(false, "made 8 MiB of 1 MiB")
        } catch let error as SharedStateError {
            require(error.code == .outOfResources && error.errno == .noSpace, "\(error)")
        }
        // What was made can be touched, all of it, although there is no room for anything else.
        let rest = open("/dev/shm/rest", O_RDWR | O_CREAT, 0o600)
        let block = [UInt8](repeating: 1, count: 4096)
        while write(rest, block, block.count) == block.count {}
        try small.withMutableSpan(of: UInt8.self) { span in
            for index in span.indices { span[index] = 7 }
        }
        close(rest)
        unlink("/dev/shm/rest")
        small.close()
        let left = (try? SharedMemory(attaching: "small")) != nil || (try? SharedMemory(attaching: "large")) != nil
        require(!left, "something is left")
        say("OK")
    }
}
