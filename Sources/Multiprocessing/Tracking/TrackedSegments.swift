internal import MultiprocessingSystem

/// What a tracker knows: who reported which segments, and which have lost the process that reported them.
///
/// A value without waiting or files, so that it is tested without a tracker: looking and removing is given to it.
struct TrackedSegments {
    /// By the connection that reported them.
    private var owned: [UInt64: [FileIdentity: SegmentName]] = [:]
    /// To be removed as soon as nobody uses them.
    private(set) var pending: [FileIdentity: SegmentName] = [:]
    /// Whether a segment was removed of a process that had not done with it.
    private(set) var hasRemovedLeaks = false
    private var leaked: Set<FileIdentity> = []
    /// When to look for segments that others removed unreported.
    private var pruneAt = Self.smallestPrune
    /// Those that were not there at the last look: reported and not yet named, or gone.
    private var suspects: Set<FileIdentity> = []

    static let smallestPrune = 1024

    /// How many segments it knows.
    var count: Int { owned.values.reduce(pending.count) { $0 + $1.count } }
    var isEmpty: Bool { owned.isEmpty && pending.isEmpty }

    mutating func connect(_ connection: UInt64) {
        owned[connection] = [:]
    }

    mutating func apply(_ report: TrackerReport, from connection: UInt64, isThere: (SegmentName, FileIdentity) -> Bool)
    {
        switch report {
        case .watch(let text, let identity):
            // Whatever does not name a segment is not for us to remove.
            guard let name = try? SegmentName(text) else { return }
            owned[connection]?[identity] = name
            pending[identity] = nil
            if count > pruneAt { prune(isThere) }
        case .forget(let identity):
            owned[connection]?[identity] = nil
            pending[identity] = nil
        case .retire(let identity):
            if let name = owned[connection]?.removeValue(forKey: identity) { pending[identity] = name }
        }
    }

    /// A process ended: what it had reported is nobody's now.
    mutating func disconnect(_ connection: UInt64) {
        for (identity, name) in owned.removeValue(forKey: connection) ?? [:] {
            pending[identity] = name
            leaked.insert(identity)
        }
    }

    /// Tries to remove what is pending.
    mutating func collect(_ remove: (SegmentName, FileIdentity) -> Segment.Removal) {
        for (identity, name) in pending {
            switch remove(name, identity) {
            case .busy: continue
            case .removed: if leaked.remove(identity) != nil { hasRemovedLeaks = true }
            case .gone: leaked.remove(identity)
            }
            pending[identity] = nil
        }
    }

    /// Keeps memory bounded by what exists, for a constant share of the cost of each report.
    private mutating func prune(_ isThere: (SegmentName, FileIdentity) -> Bool) {
        var missing: Set<FileIdentity> = []
        func stays(_ identity: FileIdentity, _ name: SegmentName) -> Bool {
            if isThere(name, identity) { return true }
            missing.insert(identity)
            return !suspects.contains(identity)
        }
        for connection in owned.keys { owned[connection] = owned[connection]!.filter { stays($0.key, $0.value) } }
        pending = pending.filter { stays($0.key, $0.value) }
        leaked.formIntersection(pending.keys)
        suspects = missing.subtracting(suspects)
        pruneAt = max(Self.smallestPrune, count * 2)
    }
}
