import Glibc
import Multiprocessing
import SystemPackage

/// A program with five children that somebody runs in a terminal.
enum Terminals {
    /// Says who belongs to it, then waits: in `join` for children that do not end, or for a line, after which they do.
    static func run(method name: String, waitingFor what: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        let gate = try FileDescriptor.pipe()
        var options = ProcessOptions()
        options.startMethod = method
        options.descriptors = [gate.readEnd]
        let number = gate.readEnd.rawValue
        let children = try (0..<5).map { index in
            try ChildProcess(options: options) {
                // One computes, the others wait.
                if index == 0, what == "join" { while true {} }
                var byte: UInt8 = 0
                require(read(number, &byte, 1) == 1, "the gate was closed")
                return index
            }
        }
        for child in children { try child.start() }
        say("pid \(getpid())")
        for child in children { say("pid \(child.processIdentifier!)") }
        if let server = ForkServer.processIdentifier { say("pid \(server)") }
        say("ready")
        if what == "line" {
            _ = readLine()
            for byte in 0..<5 { _ = try gate.writeEnd.writeAll([UInt8(byte)]) }
        }
        let sum = try children.reduce(0) { try $0 + $1.waitForValue() }
        say("sum \(sum)")
    }

    /// Runs that program in a group of its own in the foreground, as a shell does; when it is stopped, lets it go on.
    static func shell(method: String, waitingFor what: String) {
        // A shell is not stopped, nor ended, by what it changes in its terminal.
        for number in [SIGTTOU, SIGTSTP, SIGINT] { signal(number, SIG_IGN) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
        let arguments = [CommandLine.arguments[0], "terminal", method, what]
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { (word: String) in strdup(word) }
        words.append(nil)
        var pid: pid_t = 0
        require(posix_spawn(&pid, "/proc/self/exe", nil, &attributes, words, environ) == 0, "cannot start")
        require(tcsetpgrp(0, pid) == 0, "not in a terminal")
        say("foreground")
        while true {
            var status: Int32 = 0
            require(waitpid(pid, &status, WUNTRACED) == pid, "no program")
            guard status & 0xff == 0x7f else {
                say("status \(status)")
                return
            }
            require(tcsetpgrp(0, getpgrp()) == 0, "no terminal any more")
            say("stopped")
            pause(milliseconds: 50)
            require(tcsetpgrp(0, pid) == 0 && kill(-pid, SIGCONT) == 0, "cannot continue")
            say("continued")
        }
    }
}
