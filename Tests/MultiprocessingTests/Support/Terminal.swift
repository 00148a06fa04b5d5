import Glibc
import SystemPackage

/// A pseudo terminal in which a scenario program runs, as the leader of its session: typing ends, stops and feeds it.
final class Terminal {
    private var master: Int32 = -1
    private(set) var processIdentifier: Int32 = 0

    init(_ arguments: [String]) throws {
        var slave: Int32 = -1
        guard openpty(&master, &slave, nil, nil, nil) == 0, let name = ttyname(slave) else {
            throw Errno(rawValue: errno)
        }
        // Open until the program has it, so that the terminal does not hang up before.
        defer { Glibc.close(slave) }
        for end in [master, slave] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // A session's leader that opens a terminal gets it as its controlling one.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, 0x80)  // POSIX_SPAWN_SETSID
        let path = Scenario.directory + "/mp-scenarios"
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        let error = posix_spawn(&processIdentifier, path, &actions, &attributes, words, environ)
        guard error == 0 else { throw Errno(rawValue: error) }
    }

    deinit {
        if master >= 0 { Glibc.close(master) }
        // Whatever a test found: nobody stays. The session's leader is still our child, so its id is no other's.
        if waitpid(processIdentifier, nil, WNOHANG) == 0 {
            kill(processIdentifier, SIGKILL)
            waitpid(processIdentifier, nil, 0)
        }
    }

    /// Presses keys.
    func type(_ keys: String) { put(keys, to: master) }

    /// Closes the window.
    func close() {
        Glibc.close(master)
        master = -1
    }

    /// The next line on the screen; what there is of it if none comes in time.
    func nextLine() -> String { read(untilLineEnds: true).text }

    /// The rest of what appears on the screen, and whether everybody had left the terminal in time.
    func rest() -> (text: String, hasHungUp: Bool) { read(untilLineEnds: false) }

    /// How the session's leader ended; nil if it did not in time.
    func status() -> Int32? {
        var status: Int32 = 0
        return eventually(within: .seconds(20)) { waitpid(processIdentifier, &status, WNOHANG) == processIdentifier }
            ? status : nil
    }

    private func read(untilLineEnds: Bool) -> (text: String, hasHungUp: Bool) {
        var bytes: [UInt8] = []
        let end = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < end {
            guard isReadable(master, within: 100) else { continue }
            var byte: UInt8 = 0
            // An error is how a terminal says that nobody has it open any more.
            guard Glibc.read(master, &byte, 1) == 1 else { return (String(decoding: bytes, as: UTF8.self), true) }
            if byte == UInt8(ascii: "\r") { continue }
            if untilLineEnds, byte == UInt8(ascii: "\n") { break }
            bytes.append(byte)
        }
        return (String(decoding: bytes, as: UTF8.self), false)
    }
}
