import Multiprocessing
import Testing

/// The protocol of the owner word, every interleaving of it: processes that take the word, sleep, release, wake, and die.
///
/// The steps are those between which others can come: one exchange of the word, one comparison by the kernel, one wake-up. What
/// an exchange does is decided by the code that the library runs. Not modelled: the order of memory (every access counts as
/// sequentially consistent), and time (who has slept counts as overdue or starving where a test says so).
@Suite(.timeLimit(.minutes(5)))
struct OwnerWordModelTests {
    /// Nobody sleeps while the word is free, unless somebody who was woken died: then a look finds it free.
    @Test func noWakeUpIsLost() throws {
        for (count, deaths, rounds) in [(2, 1, 3), (3, 0, 2), (3, 1, 1), (3, 2, 1)] {
            let seen = try explore(
                Model(processes: count, rounds: rounds, deaths: deaths),
                starving: false,
                most: 3_000_000
            ) { model in
                try check(model.holders.count <= 1, "two hold the word: \(model)")
                if let holder = model.holders.first {
                    try check(model.word.owner == UInt64(holder + 1), "the word names somebody else: \(model)")
                }
                guard model.isQuiet, !model.sleepers.isEmpty else { return }
                if model.died.isEmpty {
                    try check(!model.word.isFree, "all sleep, and the word is free: \(model)")
                }
                // Everybody sleeps. Whoever looks by itself gets on.
                var looking = model
                looking.look(model.sleepers[0])
                try check(!looking.holders.isEmpty, "a look does not help: \(model)")
            }
            #expect(seen > 100)
        }
    }

    /// One that waits, against others who come again at once and win every race for a free word that they may enter.
    ///
    /// It loses a few times at most: then enough turns are reserved. Assumed is that it gets to run, once it could, before somebody
    /// takes a reserved turn who also slept; newcomers may take the word as often as they like.
    @Test(arguments: [2, 3]) func nobodyLosesForEver(count: Int) throws {
        var most = 0
        let seen = try explore(
            Model(processes: count, rounds: nil, deaths: 0),
            starving: true,
            most: 3_000_000
        ) { model in
            most = max(most, model.losses)
            try check(model.losses <= 5, "lost too often: \(model)")
        }
        #expect(seen > 100)
        #expect(most > 0)
    }
}

/// The state of all processes and of the word.
private struct Model: Hashable, CustomStringConvertible {
    enum Place: Hashable {
        /// About to try for the first time, or again after so many sleeps.
        case trying(sleeps: Int, willSleep: Bool)
        /// Read the word, and is about to have the kernel compare its low half.
        case fallingAsleep(sleeps: Int, value: UInt32)
        case asleep(sleeps: Int)
        case holding
        /// Has released the word, and is about to wake a sleeper.
        case waking
        case done
        case dead
    }

    var word = OwnerWordState(rawValue: 0)
    var places: [Place]
    /// How often each will still take the word; nil: for ever.
    var rounds: [Int]?
    /// In the order in which they fell asleep.
    var sleepers: [Int] = []
    var deathsLeft: Int
    var died: Set<Int> = []
    /// How often the first one has tried in vain since it last had the word.
    var losses = 0

    init(processes: Int, rounds: Int?, deaths: Int) {
        places = Array(repeating: .trying(sleeps: 0, willSleep: false), count: processes)
        self.rounds = rounds.map { Array(repeating: $0, count: processes) }
        deathsLeft = deaths
    }

    var holders: [Int] { places.indices.filter { places[$0] == .holding } }

    /// Nobody does anything by itself any more.
    var isQuiet: Bool {
        places.allSatisfy { place in
            switch place {
            case .asleep, .done, .dead: true
            default: false
            }
        }
    }

    var description: String { "\(String(word.rawValue, radix: 16)) \(places) \(sleepers)" }

    private func progress(_ me: Int, _ sleeps: Int, willSleep: Bool, starving: Bool) -> WaitProgress {
        var progress = WaitProgress()
        progress.sleeps = sleeps
        progress.starved = !starving ? 0 : me == 0 ? losses : sleeps
        progress.isAboutToSleep = willSleep
        return progress
    }

    /// The states that one step of one process leads to.
    func successors(starving: Bool) -> [Model] {
        places.indices.flatMap { step($0, starving: starving) }
    }

    private func step(_ me: Int, starving: Bool) -> [Model] {
        var next = self
        var all: [Model] = []
        switch places[me] {
        case .trying(let sleeps, let willSleep):
            next.attempt(me, progress(me, sleeps, willSleep: willSleep, starving: starving), starving: starving)
            if starving, me != 0, sleeps > 0, next.places[me] == .holding, isRunnable(0) { return [] }
            all.append(next)
        case .fallingAsleep(let sleeps, let value):
            if UInt32(truncatingIfNeeded: word.rawValue) == value {
                next.places[me] = .asleep(sleeps: sleeps)
                next.sleepers.append(me)
            } else {
                next.places[me] = .trying(sleeps: sleeps, willSleep: true)
            }
            all.append(next)
        case .asleep, .done, .dead:
            return []
        case .holding:
            let left = word
            next.word = word.released
            if left.hasSleepers { next.places[me] = .waking } else { next.finish(me) }
            all.append(next)
        case .waking:
            if let first = sleepers.first { next.wake(first) }
            next.finish(me)
            all.append(next)
        }
        if deathsLeft > 0 {
            var dying = self
            dying.places[me] = .dead
            dying.deathsLeft -= 1
            dying.died.insert(me)
            all.append(dying)
        }
        return all
    }

    private mutating func attempt(_ me: Int, _ progress: WaitProgress, starving: Bool = false) {
        let owner = Int(word.owner) - 1
        let isDead = progress.isOverdue && owner >= 0 && died.contains(owner)
        switch word.step(of: UInt64(me + 1), progress, ownerIsDead: isDead) {
        case .take(let new):
            word = new
            places[me] = .holding
            if me == 0 { losses = 0 }
        case .wait(let new):
            word = new
            if me == 0, progress.isAboutToSleep, starving { losses += 1 }
            // Who only looked goes on looking, or decides to sleep: then it tries once more, to leave its mark.
            places[me] =
                progress.isAboutToSleep
                ? .fallingAsleep(sleeps: progress.sleeps, value: UInt32(truncatingIfNeeded: new.rawValue))
                : .trying(sleeps: progress.sleeps, willSleep: true)
        }
    }

    /// Beyond some, it makes no difference.
    private static func more(_ sleeps: Int) -> Int { min(sleeps + 1, 4) }

    /// Whether it could run, and has made up its mind to sleep.
    private func isRunnable(_ index: Int) -> Bool {
        switch places[index] {
        case .trying(_, let willSleep): willSleep
        case .fallingAsleep: true
        default: false
        }
    }

    private mutating func finish(_ me: Int) {
        rounds?[me] -= 1
        places[me] = rounds.map { $0[me] > 0 } ?? true ? .trying(sleeps: 0, willSleep: false) : .done
    }

    private mutating func wake(_ sleeper: Int) {
        guard case .asleep(let sleeps) = places[sleeper] else { return }
        sleepers.removeAll { $0 == sleeper }
        places[sleeper] = .trying(sleeps: Self.more(sleeps), willSleep: true)
    }

    /// A sleeper whose time is over looks into the owner's life.
    mutating func look(_ sleeper: Int) {
        guard case .asleep(let sleeps) = places[sleeper] else { return }
        sleepers.removeAll { $0 == sleeper }
        var progress = progress(sleeper, sleeps + 1, willSleep: true, starving: false)
        progress.isOverdue = true
        attempt(sleeper, progress)
    }
}

/// Visits every state that can be reached; returns how many there are.
private func explore(
    _ start: Model,
    starving: Bool,
    most: Int,
    _ visit: (Model) throws -> Void
) throws -> Int {
    var seen: Set<Model> = [start]
    var open = [start]
    while let model = open.popLast() {
        try visit(model)
        try check(seen.count < most, "too many states")
        for next in model.successors(starving: starving) where seen.insert(next).inserted { open.append(next) }
    }
    return seen.count
}
