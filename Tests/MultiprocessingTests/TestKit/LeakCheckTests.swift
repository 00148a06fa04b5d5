import Glibc
import Multiprocessing
import MultiprocessingTestKit
import SystemPackage
import Testing

extension ProcessTests {
    /// What is left behind is seen, and what the library keeps is not.
    @Suite struct LeakCheckTests {
        @Test func nothing() async throws {
            try await isolated { () async throws in
                try await LeakCheck.expectNoLeaks {}
                try await LeakCheck.expectNoLeaks { try await check(ChildProcess.run { 1 }, is: 1) }
            }
            try await isolated {
                try LeakCheck.expectNoLeaks {}
            }
        }

        @Test(arguments: StartMethod.allCases) func manyChildrenAndLocks(method: StartMethod) async throws {
            try await isolated {
                try LeakCheck.expectNoLeaks {
                    for _ in 0..<20 {
                        let lock = try Lock()
                        let child = try ChildProcess(startMethod: method) { try lock.acquire(timeout: .seconds(10)) }
                        try child.start()
                        try check(child.waitForValue(timeout: .seconds(20)))
                    }
                }
            }
        }

        @Test func descriptor() async throws {
            let leaks = try await isolated { try leftBehind { _ = open("/dev/null", O_RDONLY) } }
            #expect(leaks.count == 1)
            #expect(leaks.first?.hasSuffix(": /dev/null") == true && leaks.first?.hasPrefix("descriptor ") == true)
        }

        @Test func sockets() async throws {
            let leaks = try await isolated {
                try leftBehind {
                    for _ in 0..<5 { _ = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
                }
            }
            #expect(leaks.count >= 3)
            #expect(leaks.allSatisfy { $0.hasSuffix(": socket") })
        }

        @Test func mapping() async throws {
            let leaks = try await isolated {
                try leftBehind {
                    // A second mapping of the library's own memory file.
                    let lock = try Lock()
                    let file = openDescriptors().first {
                        linkTarget("/proc/self/fd/\($0)")?.hasPrefix("/memfd:") == true
                    }
                    mmap(nil, 8192, PROT_READ, MAP_SHARED, file!, 0)
                    try lock.acquire()
                }
            }
            #expect(leaks.count == 1)
            #expect(leaks.first?.contains("/memfd:multiprocessing (deleted), 8192 bytes") == true)
        }

        @Test func childrenAndZombies() async throws {
            let leaks = try await isolated {
                try leftBehind {
                    _ = try Backend.spawn.run { sleepForever() }
                    let ended = fork()
                    if ended == 0 { _exit(0) }
                    try check(eventually { state(of: ended) == "Z" })
                }
            }
            #expect(leaks.contains { $0.hasPrefix("child ") })
            #expect(leaks.count { $0.hasPrefix("zombie ") } == 1)
        }

        @Test func whatIsIgnored() async throws {
            try await isolated {
                try LeakCheck.expectNoLeaks(ignoring: { $0.name == "/dev/null" }) { _ = open("/dev/null", O_RDONLY) }
            }
        }

        @Test func whatGoesSlowlyIsWaitedFor() async throws {
            try await isolated {
                try LeakCheck.expectNoLeaks {
                    _ = try Backend.spawn.run { pause(.milliseconds(400)) }
                }
            }
        }
    }
}

/// The descriptions of what `body` leaves behind.
private func leftBehind(by body: () throws -> Void) throws -> [String] {
    do {
        try LeakCheck.expectNoLeaks(within: .milliseconds(500), body)
        return []
    } catch let error as LeakError {
        return error.leaks.map(\.description)
    }
}
