import Foundation
import Glibc
import MultiprocessingSystem
import Synchronization
import SystemPackage
import Testing

@testable import Multiprocessing

/// A lazy constant that takes its time: threads that want it meet in its initialiser.
private let slowConstant: Int = {
    pause(.milliseconds(200))
    return 7
}()

extension ProcessTests {
    /// Fork servers that left something behind, or were given up too early.
    @Suite struct ForkServerRegressions {
        /// Processes whose announcement was under way when the server was let go were reaped by nobody.
        @Test func stopLeavesNoZombies() async throws {
            try await isolated {
                for _ in 0..<20 {
                    let child = try ChildProcess {}
                    try child.start()
                    ForkServer.stop()
                    try child.join()
                    try check(child.exitStatus, is: .exited(0))
                }
                let left = eventually { childrenOfThisProcess().isEmpty }
                try check(left, "left: \(childrenOfThisProcess())")
            }
        }

        /// A process that had announced itself and ran its body was killed when the server, let go of meanwhile, named it only then.
        @Test func namedAfterItsServerWasLetGo() async throws {
            try await isolated {
                let child = try ChildProcess { sleepForever() }
                try child.start()
                let pid = child.processIdentifier!
                let control = try Descriptor.socketPairNumbers()
                let server = Descriptor(owning: control.child)
                let monitor = Runtime.current.monitor
                ForkServerReply.forked(pid).send(over: server.number)
                monitor.reapAnnounced(over: SharedDescriptor(Descriptor(owning: control.parent)), except: [pid])
                // And one that the monitor's thread reads.
                ForkServerReply.forked(pid).send(over: server.number)
                try check(!child.join(timeout: .milliseconds(300)), "it ended: \(String(describing: child.exitStatus))")
                try child.kill()
                try child.join()
            }
        }

        /// The first `run` held a thread of the cooperative pool while a preload hook ran, and so did every other.
        @Test func preloadHookHoldsNoTask() async throws {
            try await isolated { @concurrent () async throws -> Void in
                try ForkServer.preload { pause(.seconds(3)) }
                let clock = ContinuousClock()
                let began = clock.now
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for number in 0..<16 { group.addTask { try await ChildProcess.run { number } } }
                    let cancelled = Task { try await ChildProcess.run {} }
                    try await Task.sleep(for: .milliseconds(200))
                    // There is a thread for this one, whatever waits.
                    let other = await Task.detached { clock.now - began }.value
                    try check(other < .seconds(2), "a task waited for \(other)")
                    cancelled.cancel()
                    let end = await cancelled.result
                    try check(clock.now - began < .seconds(2), "a cancelled task waited for \(clock.now - began)")
                    guard case .failure(let error) = end, error is CancellationError else {
                        throw CheckFailure(text: "ended with \(end)", place: #fileID)
                    }
                    var numbers: [Int] = []
                    for try await number in group { numbers.append(number) }
                    try check(numbers.sorted(), is: Array(0..<16))
                }
            }
        }

        /// A hook that fails fails every `run` that waits for it, and none that comes after it was removed.
        @Test func preloadHookFailsThoseThatWait() async throws {
            try await isolated { @concurrent () async throws -> Void in
                struct Refused: Error {}
                for _ in 0..<3 {
                    try ForkServer.preload {
                        pause(.milliseconds(200))
                        throw Refused()
                    }
                    let failures = await withTaskGroup(of: Bool.self) { group in
                        for _ in 0..<8 {
                            group.addTask {
                                do { try await ChildProcess.run {} } catch {
                                    return (error as? ProcessError)?.code == .startFailed
                                }
                                return false
                            }
                        }
                        return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                    }
                    try check(failures, is: 8)
                    ForkServer.removePreload()
                    try check(await ChildProcess.run { 5 }, is: 5)
                }
            }
        }

        /// The main thread of a child had its server's thread id in the runtime's cache: it could not give back the lock of a lazy
        /// constant's initialiser, and whoever had come there meanwhile stayed.
        @Test func threadsOfAChildMeetInALazyConstant() async throws {
            let child = try ChildProcess(startMethod: .forkServer) { () -> Bool in
                let other = DispatchSemaphore(value: 0)
                Foundation.Thread.detachNewThread {
                    pause(.milliseconds(50))
                    if slowConstant == 7 { other.signal() }
                }
                return slowConstant == 7 && other.wait(timeout: .now() + 10) == .success
            }
            try child.start()
            let isOver = try await child.join(timeout: .seconds(20))
            if !isOver { try child.kill() }
            #expect(isOver)
            #expect(try await child.value)
        }

        /// So were processes that were killed before they could announce themselves; and the start that had asked for one waited
        /// for seconds, and then gave the server up.
        @Test func processesKilledBeforeTheirAnnouncement() async throws {
            try await isolated {
                ForkServer.spares = 0
                let first = try ChildProcess {}
                try first.start()
                try first.join()
                let server = ForkServer.processIdentifier!
                let killer = try Killer(sparing: server)
                let began = ContinuousClock.now
                while killer.victims < 40, ContinuousClock.now - began < .seconds(20) {
                    let child = try ChildProcess {}
                    // All that were asked for may have been killed; that is an error then.
                    if (try? child.start()) == nil { continue }
                    try child.join()
                }
                try check(ContinuousClock.now - began < .seconds(20), "\(killer.victims) killed in 20 seconds")
                killer.stop()
                try check(ForkServer.processIdentifier, is: server)
                let last = try ChildProcess { 3 }
                try last.start()
                try check(last.waitForValue(timeout: .seconds(10)), is: 3)
                ForkServer.stop()
                let left = eventually { childrenOfThisProcess().isEmpty }
                try check(left, "left: \(childrenOfThisProcess())")
            }
        }

        /// Nor did its server end when a preload hook did not end in time.
        @Test func endlessPreloadHook() async throws {
            try await isolated {
                try ForkServer.preload(timeout: .milliseconds(200)) { sleepForever() }
                for _ in 0..<2 {
                    let child = try ChildProcess {}
                    try check(throws: .timedOut) { try child.start() }
                }
                let left = eventually { childrenOfThisProcess().isEmpty }
                try check(left, "left: \(childrenOfThisProcess())")
                ForkServer.removePreload()
                let child = try ChildProcess { 4 }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(10)), is: 4)
            }
        }

        /// A forked copy holds the channels of processes that are ready: they saw no end of file.
        @Test func stopBesideForkedCopy() async throws {
            try await isolated {
                let first = try ChildProcess {}
                try first.start()
                try first.join()
                pause(.milliseconds(200))
                let copy = try ChildProcess(startMethod: .fork) { sleepForever() }
                try copy.start()
                ForkServer.stop()
                let left = eventually(within: .seconds(2)) { childrenOfThisProcess() == [copy.processIdentifier!] }
                try check(left, "left: \(childrenOfThisProcess())")
                try copy.kill()
                try copy.join()
            }
        }

        /// After eight dead processes a start gave up.
        @Test func manyDeadSpares() async throws {
            try await isolated {
                ForkServer.spares = 12
                for _ in 0..<2 {
                    let child = try ChildProcess {}
                    try child.start()
                    try child.join()
                    pause(.milliseconds(300))
                }
                let spares = childrenOfThisProcess().filter { $0 != ForkServer.processIdentifier }
                try check(spares.count > 8, "only \(spares.count) were ready")
                for spare in spares { kill(spare, SIGKILL) }
                pause(.milliseconds(200))
                let child = try ChildProcess { 4 }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(10)), is: 4)
            }
        }

        /// The monitor spun on the closed descriptor of a reaped process while a forked copy held its open file.
        @Test func monitorSleepsBesideForkedCopy() async throws {
            try await isolated {
                let first = try ChildProcess {}
                try first.start()
                try first.join()
                pause(.milliseconds(200))
                ForkServer.stop()
                let copy = try ChildProcess(startMethod: .fork) { sleepForever() }
                try copy.start()
                pause(.milliseconds(200))
                let before = clock()
                pause(.milliseconds(500))
                let used = clock() - before
                try copy.kill()
                try copy.join()
                try check(used < 200_000, "\(used) µs of processor time in half a second")
            }
        }
    }
}

/// A thread that kills each new child of this process as soon as it sees it.
private final class Killer: Sendable {
    private let count = Atomic(0)
    private let isStopped = Atomic(false)
    private let hasStopped = Atomic(false)

    var victims: Int { count.load(ordering: .relaxed) }

    init(sparing spared: Int32) throws {
        Foundation.Thread.detachNewThread { [self] in
            var seen: Set<Int32> = [spared]
            while !isStopped.load(ordering: .relaxed) {
                for child in childrenOfThisProcess() where seen.insert(child).inserted {
                    kill(child, SIGKILL)
                    count.add(1, ordering: .relaxed)
                }
            }
            hasStopped.store(true, ordering: .releasing)
        }
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        while !hasStopped.load(ordering: .acquiring) { pause(.milliseconds(1)) }
    }
}
