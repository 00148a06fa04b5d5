import Glibc
import Multiprocessing
import SystemPackage

/// A parent with children of every sort, which then ends in one of many ways. Nobody may be left.
enum Family {
    static func run(ending: String, method name: String) throws {
        // Ctrl-C goes to a group; this program's is its own.
        setpgid(0, 0)
        let method = StartMethod.allCases.first { $0.description == name }!
        let pipe = try FileDescriptor.pipe()
        let gate = pipe.writeEnd.rawValue
        func options(_ set: (inout ProcessOptions) -> Void = { _ in }) -> ProcessOptions {
            var options = ProcessOptions()
            options.startMethod = method
            options.descriptors = [pipe.writeEnd]
            set(&options)
            return options
        }
        say("pid \(getpid())")
        var children: [ChildProcess<Never>] = []
        children.append(try ChildProcess(options: options { $0.name = "sleeper" }) { arrive(gate) })
        children.append(try ChildProcess(options: options { $0.isDaemon = true }) { arrive(gate) })
        children.append(
            try ChildProcess(options: options { $0.ignoredSignals = [SIGTERM, SIGINT, SIGHUP, SIGPIPE] }) {
                arrive(gate)
            }
        )
        children.append(
            try ChildProcess(options: options { $0.blockedSignals = Set(1...31).subtracting([SIGKILL, SIGSTOP]) }) {
                arrive(gate)
            }
        )
        children.append(try ChildProcess(options: options { $0.name = "busy" }) { arrive(gate) { while true {} } })
        children.append(try ChildProcess(options: options { $0.name = "stopped" }) { arrive(gate) { raise(SIGSTOP) } })
        children.append(
            try ChildProcess(options: options { $0.name = "session leader" }) {
                // A group's leader cannot become a session's; in its parent's group it can.
                require(setpgid(0, getpgid(getppid())) == 0 && setsid() == getpid(), "no session")
                arrive(gate)
            }
        )
        children.append(
            try ChildProcess(options: options { $0.name = "program" }) {
                var pid: pid_t = 0
                let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
                require(posix_spawn(&pid, "/bin/sleep", nil, nil, arguments, nil) == 0, "no /bin/sleep")
                say("pid \(pid)")
                arrive(gate)
            }
        )
        children.append(
            try ChildProcess(options: options { $0.name = "parent" }) {
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [FileDescriptor(rawValue: gate)]
                let deep = try ChildProcess(options: options) {
                    var options = ProcessOptions()
                    options.startMethod = method
                    options.descriptors = [FileDescriptor(rawValue: gate)]
                    let deeper = try ChildProcess(options: options) { arrive(gate) }
                    try deeper.start()
                    arrive(gate)
                }
                try deep.start()
                arrive(gate)
            }
        )
        for child in children { try child.start() }
        if let server = ForkServer.processIdentifier { say("pid \(server)") }
        // One byte from each child, from the grandchild and from its child.
        var byte: UInt8 = 0
        for _ in 0..<(children.count + 2) {
            require(read(pipe.readEnd.rawValue, &byte, 1) == 1, "a child did not arrive")
        }
        pause(milliseconds: 20)
        say("ready")
        end(ending, children)
    }

    private static func arrive(_ gate: Int32, then last: () -> Void = {}) -> Never {
        say("pid \(getpid())")
        var byte: UInt8 = 1
        _ = write(gate, &byte, 1)
        last()
        while true { sleep(1000) }
    }

    private static func end(_ ending: String, _ children: [ChildProcess<Never>]) {
        switch ending {
        case "return": return
        case "exit": exit(3)
        case "_exit": _exit(4)
        case "trap": fatalError("on purpose")
        case "abort": abort()
        case "exec":
            let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
            execv("/bin/true", arguments)
        case "signal":
            // Stopped by whoever runs this; meanwhile the children are held.
            withExtendedLifetime(children) { while true { sleep(1000) } }
        case "join":
            // Ctrl-C while the parent waits for a child.
            _ = try? children[0].join()
        default: require(false, "unknown ending \(ending)")
        }
    }
}
