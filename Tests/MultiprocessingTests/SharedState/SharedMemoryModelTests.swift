import Testing

/// Two protocols of shared memory, every interleaving of their steps and of deaths between them.
///
/// Written down here as the layout document has them, one step for each access that others can see or that the kernel makes.
/// Not modelled: the order of memory (every access counts as sequentially consistent), and time.
@Suite(.timeLimit(.minutes(2)))
struct SharedMemoryModelTests {
    /// Two writers that may die, and a reader: what is read was committed, all of it.
    @Test func readersSeeWhatWasCommitted() throws {
        let seen = try explore(ValueModel()) { model in
            if let (commit, words) = model.read {
                try check(words[0] == words[1] && words[0] == model.history[commit], "a mixture was read: \(model)")
            }
        }
        #expect(seen > 1000)
    }

    /// A maker, a user and one who comes while they leave, any of whom may die; and the tracker.
    @Test(arguments: 0...2) func segmentsGoWithTheirLastUserAndNotBefore(deaths: Int) throws {
        var ends = 0
        let seen = try explore(SegmentModel(deaths: deaths)) { model in
            try check(model.hasName || model.users.isEmpty, "removed under a user: \(model)")
            guard model.isQuiet else { return }
            ends += 1
            try check(!model.hasName, "left behind: \(model)")
        }
        #expect(seen > 100 && ends > 0)
    }
}

private protocol ExploredModel: Hashable {
    /// Every state that one step of one process leads to.
    var successors: [Self] { get }
}

/// Looks at every state that can be reached; returns how many there are.
private func explore<Model: ExploredModel>(_ start: Model, _ look: (Model) throws -> Void) throws -> Int {
    var seen: Set<Model> = [start]
    var open = [start]
    while let model = open.popLast() {
        try look(model)
        for next in model.successors where seen.insert(next).inserted { open.append(next) }
        try check(seen.count < 2_000_000, "too many states")
    }
    return seen.count
}

/// A value of two words in two slots, and the word that says which counts.
private struct ValueModel: ExploredModel {
    enum Writer: Hashable {
        case idle(left: Int)
        case writing(left: Int, commit: Int, words: Int)
        case dead
    }

    enum Reader: Hashable {
        case starting
        case copying(commit: Int, words: [Int])
        case done
    }

    var commits = 0
    var slots = [[0, 0], [0, 0]]
    /// The values that were committed.
    var history = [0]
    var nextValue = 1
    /// Who has the lock; a dead writer's is taken over.
    var holder: Int?
    var writers: [Writer] = [.idle(left: 2), .idle(left: 2)]
    var deathsLeft = 1
    var reader = Reader.starting
    var read: (commit: Int, words: [Int])? {
        if case .copying(let commit, let words) = reader, words.count == 2, commits == commit {
            (commit, words)
        } else {
            nil
        }
    }

    static func == (left: ValueModel, right: ValueModel) -> Bool {
        left.commits == right.commits && left.slots == right.slots && left.history == right.history
            && left.nextValue == right.nextValue && left.holder == right.holder && left.writers == right.writers
            && left.deathsLeft == right.deathsLeft && left.reader == right.reader
    }

    var successors: [ValueModel] {
        var found: [ValueModel] = []
        for index in writers.indices {
            var next = self
            switch writers[index] {
            case .idle(let left):
                guard left > 0, holder == nil || writers[holder!] == .dead else { continue }
                next.holder = index
                next.writers[index] = .writing(left: left - 1, commit: commits + 1, words: 0)
                next.nextValue += 1
            case .writing(let left, let commit, let words) where words < 2:
                next.slots[commit & 1][words] = nextValue - 1
                next.writers[index] = .writing(left: left, commit: commit, words: words + 1)
            case .writing(let left, let commit, let words) where words == 2:
                next.commits = commit
                next.history.append(slots[commit & 1][0])
                next.writers[index] = .writing(left: left, commit: commit, words: 3)
            case .writing(let left, _, _):
                next.holder = nil
                next.writers[index] = .idle(left: left)
            case .dead: continue
            }
            found.append(next)
            if deathsLeft > 0, holder == index {
                var death = self
                death.writers[index] = .dead
                death.deathsLeft -= 1
                found.append(death)
            }
        }
        var next = self
        switch reader {
        case .starting: next.reader = .copying(commit: commits, words: [])
        case .copying(let commit, let words) where words.count < 2:
            next.reader = .copying(commit: commit, words: words + [slots[commit & 1][words.count]])
        case .copying(let commit, _): next.reader = commit == commits ? .done : .starting
        case .done: return found
        }
        return found + [next]
    }
}

/// A segment's name and locks, its users, and the tracker.
private struct SegmentModel: ExploredModel {
    enum Place: Hashable {
        /// About to attach.
        case coming
        /// Has opened the file; or has its lock, and has not yet looked whether it has a name.
        case opened, locked
        case using
        /// Has let go; has opened the file anew; has it locked for removal; has removed the name.
        case left, opening, removing, removed
        case done, dead
    }

    var hasName = true
    /// The maker, who told the tracker; one who has attached; one who is about to; last, the tracker.
    var places: [Place] = [.using, .using, .coming, .done]
    var deathsLeft: Int

    private static let maker = 0
    private static let tracker = 3

    init(deaths: Int) { deathsLeft = deaths }

    var users: [Int] { places.indices.filter { places[$0] == .using } }
    private var isShared: Bool { places.contains { $0 == .using || $0 == .locked } }
    private var isExclusive: Bool { places.contains { $0 == .removing || $0 == .removed } }
    /// Nobody will do anything any more.
    var isQuiet: Bool { places.allSatisfy { $0 == .done || $0 == .dead } }

    var successors: [SegmentModel] {
        var found: [SegmentModel] = []
        for index in places.indices {
            for place in steps(index) {
                var next = self
                next.places[index] = place
                if place == .removed { next.hasName = false }
                // The maker leaves it to the tracker when others use it.
                if index == Self.maker, places[index] == .opening, place == .done { next.places[Self.tracker] = .left }
                found.append(next)
            }
            let isOver = places[index] == .done || places[index] == .dead
            if deathsLeft > 0, index != Self.tracker, !isOver {
                var death = self
                death.places[index] = .dead
                death.deathsLeft -= 1
                if index == Self.maker { death.places[Self.tracker] = .left }
                found.append(death)
            }
        }
        return found
    }

    private func steps(_ index: Int) -> [Place] {
        switch places[index] {
        case .coming: [hasName ? .opened : .done]
        case .opened: [isExclusive ? .coming : .locked]
        case .locked: [hasName ? .using : .coming]
        case .using: [.left]
        case .left: [hasName ? .opening : .done]
        // Refused, users give up; the tracker comes back.
        case .opening: [!isShared && !isExclusive ? .removing : index == Self.tracker ? .left : .done]
        // It is the name of the same file: nobody else makes one here.
        case .removing: [hasName ? .removed : .done]
        case .removed: [.done]
        case .done, .dead: []
        }
    }
}
