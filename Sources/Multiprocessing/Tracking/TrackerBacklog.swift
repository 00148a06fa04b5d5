internal import MultiprocessingSystem

/// What a process has to tell its tracker, and what it has told it.
///
/// Kept by segment and not as a list of reports: a tracker that takes none makes nobody wait who takes a report back, and a
/// tracker that takes another's place is told what is so by then. A value without waiting or files, as ``TrackedSegments``, so that
/// it is tested without a tracker.
struct TrackerBacklog {
    enum Ending {
        /// The segment has no name any more.
        case forgotten
        /// It is left to the tracker, because others still use it.
        case retired
    }

    private struct Entry {
        var name: SegmentName
        var isTold = false
        var ending: Ending?
    }

    private var entries: [FileIdentity: Entry] = [:]
    /// Of which there is something to tell, the oldest first.
    private var waiting: [FileIdentity] = []

    mutating func watch(_ name: SegmentName, _ identity: FileIdentity) {
        entries[identity] = Entry(name: name)
        waiting.append(identity)
    }

    /// False, and nothing to tell, if the segment is not watched for this process.
    mutating func end(_ identity: FileIdentity, _ ending: Ending) -> Bool {
        guard entries[identity] != nil else { return false }
        entries[identity]!.ending = ending
        waiting.append(identity)
        return true
    }

    /// There is another tracker, which knows nothing.
    mutating func startOver() {
        entries = entries.filter { $0.value.ending != .forgotten }
        for identity in entries.keys { entries[identity]!.isTold = false }
        waiting = Array(entries.keys)
    }

    /// Sends what there is to tell, until `send` returns false; whether that is all of it.
    mutating func flush<Failure: Error>(_ send: (TrackerReport) throws(Failure) -> Bool) throws(Failure) -> Bool {
        var done = 0
        defer { waiting.removeFirst(done) }
        while done < waiting.count {
            let identity = waiting[done]
            if let entry = entries[identity] {
                if !entry.isTold, entry.ending != .forgotten {
                    guard try send(.watch(entry.name.text, identity)) else { return false }
                    entries[identity]!.isTold = true
                }
                switch entry.ending {
                case nil: break
                case .forgotten?:
                    // One that it was never told of needs no taking back.
                    if entry.isTold {
                        guard try send(.forget(identity)) else { return false }
                    }
                    entries[identity] = nil
                case .retired?:
                    guard try send(.retire(identity)) else { return false }
                    entries[identity] = nil
                }
            }
            done += 1
        }
        return true
    }
}
