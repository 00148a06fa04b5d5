internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// The one thread that watches every child of this process.
///
/// It relays standard error, notices ends that nobody is waiting for, and resumes tasks that wait. Threads that block in
/// `join` watch for themselves meanwhile and do not depend on it. Started with the first child; it lives as long as the
/// process.
final class Monitor: Sendable {
    private struct State: ~Copyable {
        var nextToken: UInt64 = 1
        var records: [UInt64: ProcessRecord] = [:]
        /// Children without a record, to be reaped when they have ended: processes that died while they were kept ready.
        var strays: [UInt64: Stray] = [:]
        /// Records whose relay found standard error full.
        var stalled: [UInt64: ProcessRecord] = [:]
    }

    private struct Stray {
        var pid: Int32
        var end: SharedDescriptor
    }

    private let state = Mutex(State())
    private let poller = Mutex<SharedPoller?>(nil)

    /// Watches a child until ``remove(_:)``.
    func add(_ record: ProcessRecord) throws {
        let poller = try startIfNeeded()
        let token = state.withLock { state in
            defer { state.nextToken += 1 }
            state.records[state.nextToken] = record
            return state.nextToken
        }
        do throws(Errno) {
            try record.watch(by: poller, token: token)
        } catch {
            remove(token)
            throw ProcessError(.startFailed, "The process could not be watched", errno: error)
        }
    }

    /// Forgets a child that has ended.
    func remove(_ token: UInt64) {
        state.withLock { state in
            _ = state.records.removeValue(forKey: token)
            _ = state.stalled.removeValue(forKey: token)
        }
    }

    /// The children that were started and not yet found ended, in the order of their start.
    var active: [ProcessRecord] {
        state.withLock { state in state.records.sorted { $0.key < $1.key }.map(\.value) }
    }

    /// Tries a relay again soon, after standard error was found full.
    func retryRelay(_ record: ProcessRecord, token: UInt64) {
        state.withLock { $0.stalled[token] = record }
    }

    /// Reaps a child that nobody holds, now or when it ends.
    func reapLater(_ pid: Int32) {
        guard pid > 0 else { return }
        do {
            if try ChildControl.reap(pid) != nil { return }
            let poller = try startIfNeeded()
            let end = SharedDescriptor(try ChildControl.pidDescriptor(pid))
            let token = state.withLock { state in
                defer { state.nextToken += 1 }
                state.strays[state.nextToken] = Stray(pid: pid, end: end)
                return state.nextToken
            }
            try poller.poller.add(end.descriptor.number, token: token)
        } catch {
            // Not our child any more, or no descriptor to be had: then the zombie goes with this process.
        }
    }

    private func startIfNeeded() throws -> SharedPoller {
        try poller.withLock { poller in
            if let poller { return poller }
            do throws(Errno) {
                let fresh = try SharedPoller()
                try Thread.detach(named: "mp-monitor") { [self] in run(fresh) }
                poller = fresh
                return fresh
            } catch {
                throw ProcessError(.startFailed, "The thread that watches processes could not be started", errno: error)
            }
        }
    }

    private func run(_ shared: SharedPoller) {
        while true {
            let stalled = state.withLock { state in
                defer { state.stalled = [:] }
                return Array(state.stalled.values)
            }
            for token in shared.poller.wait(milliseconds: stalled.isEmpty ? -1 : 20) {
                ChildControl.withoutForks {
                    let (record, stray) = state.withLock { ($0.records[token], $0.strays.removeValue(forKey: token)) }
                    record?.service()
                    if let stray { _ = try? ChildControl.reap(stray.pid) }
                }
            }
            ChildControl.withoutForks {
                for record in stalled { record.service() }
            }
        }
    }
}

/// The poller, shared by the thread that waits on it and those that add to it.
final class SharedPoller: Sendable {
    let poller: Poller

    init() throws(Errno) {
        poller = try Poller()
    }
}
