import Glibc
import Multiprocessing

/// Programs in unusual circumstances, each of which starts a child by one method.
enum Programs {
    private static func startOne(_ name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        let child = try ChildProcess(arguments: 20, 22, startMethod: method) { $0 + $1 }
        try child.start()
        let sum = try child.waitForValue(timeout: .seconds(20))
        require(sum == 42, "\(method) gave \(sum)")
    }

    /// Started by a relative path, and the directory changed since.
    static func relativePath(method: String) throws {
        require(!CommandLine.arguments[0].hasPrefix("/"), "started by \(CommandLine.arguments[0])")
        require(chdir("/") == 0, "no /")
        try startOne(method)
        say("OK")
    }

    /// The executable is renamed, replaced or deleted while the program runs.
    static func moved(what: String, method: String) throws {
        let path = CommandLine.arguments[0]
        switch what {
        case "renamed": require(rename(path, path + ".new") == 0, "cannot rename")
        case "deleted": require(unlink(path) == 0, "cannot delete")
        case "replaced":
            require(unlink(path) == 0, "cannot delete")
            let file = open(path, O_CREAT | O_WRONLY, 0o755)
            let text = Array("#!/bin/sh\necho not this program\n".utf8)
            _ = write(file, text, text.count)
            close(file)
        default: require(false, what)
        }
        for _ in 0..<3 { try startOne(method) }
        say("OK")
    }

    /// Variables of a megabyte in all, changed, added to and removed between starts.
    static func environment(method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        for index in 0..<1000 { setenv("LARGE_\(index)", String(repeating: "v", count: 1000), 1) }
        func see(_ variable: String) throws -> String? {
            let child = try ChildProcess(arguments: variable, startMethod: method) {
                getenv($0).map { String(cString: $0) }
            }
            try child.start()
            return try child.waitForValue(timeout: .seconds(20))
        }
        require(try see("LARGE_999")?.count == 1000, "the last variable is not there")
        setenv("LARGE_999", "changed", 1)
        require(try see("LARGE_999") == "changed", "a change was not seen")
        unsetenv("LARGE_999")
        require(try see("LARGE_999") == nil, "a removal was not seen")
        require(try see("_MULTIPROCESSING") == nil, "a variable of the library's is seen")
        say("OK")
    }

    /// As an ordinary user, from before the first use.
    static func nobody(method: String) throws {
        require(setgroups(0, nil) == 0 && setgid(65534) == 0 && setuid(65534) == 0, "cannot become nobody")
        try startOne(method)
        say("OK")
    }

    /// The child sees the program's own arguments.
    static func arguments(method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        let child = try ChildProcess(startMethod: method) { CommandLine.arguments }
        try child.start()
        let seen = try child.waitForValue(timeout: .seconds(20))
        require(seen == CommandLine.arguments, "\(seen)")
        say("OK")
    }

    /// A fork of the program's own, past the library, whose copy then starts children.
    static func forkBare() throws {
        try startOne("forkServer")
        let copy = fork()
        if copy == 0 {
            do {
                try startOne("forkServer")
                try startOne("spawn")
            } catch {
                say("\(error)", to: 2)
                _exit(1)
            }
            _exit(0)
        }
        var status: Int32 = 0
        require(waitpid(copy, &status, 0) == copy && status == 0, "the copy ended with \(status)")
        try startOne("forkServer")
        say("OK")
    }
}

/// A program that forks past the library while it has children, ends, and leaves its copy behind.
enum LeftCopy {
    static func run(method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        let children = try (0..<3).map { _ in try ChildProcess(startMethod: method) { while true { sleep(1000) } } }
        for child in children { try child.start() }
        let copy = fork()
        if copy == 0 {
            // Nobody is to wait for an end of file because of it.
            for file: Int32 in 0...2 { close(file) }
            sleep(60)
            _exit(0)
        }
        for child in children { say("pid \(child.processIdentifier!)") }
        if let server = ForkServer.processIdentifier { say("pid \(server)") }
        say("copy \(copy)")
        // Killed: no exit hook ends the children.
        kill(getpid(), SIGKILL)
    }
}
