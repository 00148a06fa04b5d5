import Testing

@testable import Multiprocessing

/// The scheduler against a world of workers that may do anything a worker can: start, fail to, begin, finish, give back, die.
///
/// Every short schedule is tried, and many long random ones; after each step the promises at the head of `PoolScheduler` are
/// checked, and at the end that everything was resolved, once.
@Suite(.timeLimit(.minutes(2)))
struct PoolSchedulerTests {
    @Test func everyShortSchedule() {
        for configuration in [
            PoolScheduler.Configuration(size: 1, prefetch: 1),
            PoolScheduler.Configuration(size: 2, prefetch: 0),
            PoolScheduler.Configuration(size: 2, prefetch: 1, tasksPerWorker: 1),
        ] {
            var schedules = 0
            explore(World(configuration), depth: 5, &schedules)
            #expect(schedules > 1000)
            // What the pool has to look for can be missed where one worker is alone with two tasks.
            guard configuration.size == 1 else { continue }
            explore(World(configuration, tells: false), depth: 5, &schedules)
        }
    }

    private func explore(_ world: World, depth: Int, _ schedules: inout Int) {
        guard depth > 0 else {
            schedules += 1
            var last = world
            var random = Seeded(state: 1)
            last.finish(&random)
            return
        }
        for event in world.possibleEvents {
            var next = world
            next.apply(event)
            explore(next, depth: depth - 1, &schedules)
        }
    }

    @Test func partsOfWhatWasTakenOnAreTakenOnAfterClosing() {
        var scheduler = PoolScheduler(PoolScheduler.Configuration(size: 1))
        var actions = scheduler.begin()
        actions += scheduler.workerReady(0)
        #expect(scheduler.submit(1, &actions))
        actions += scheduler.close()
        #expect(!scheduler.submit(2, &actions))
        #expect(scheduler.submit(3, isPart: true, &actions))
        actions += scheduler.taskBegan(1, by: 0) + scheduler.taskFinished(1, by: 0)
        #expect(!actions.contains(.stop(0)))
        actions += scheduler.taskBegan(3, by: 0) + scheduler.taskFinished(3, by: 0)
        #expect(actions.contains(.resolve(3, .finished)) && actions.contains(.stop(0)))
        actions += scheduler.workerEnded(0, at: .zero)
        #expect(actions.last == .ended && !scheduler.submit(4, isPart: true, &actions))
    }

    @Test(arguments: 0..<200)
    func randomSchedule(seed: UInt64) {
        var random = Seeded(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
        var world = World(
            PoolScheduler.Configuration(
                size: Int.random(in: 1...6, using: &random),
                prefetch: Int.random(in: 0...3, using: &random),
                tasksPerWorker: Bool.random(using: &random) ? nil : Int.random(in: 1...4, using: &random),
                patience: 40
            ),
            tells: Bool.random(using: &random)
        )
        for _ in 0..<400 {
            world.apply(world.possibleEvents.randomElement(using: &random)!)
        }
        world.finish(&random)
        #expect(world.hasEnded)
        #expect(world.unresolved.isEmpty)
    }

    @Test func nothingWaitsBehindATaskThatTakesFarLongerThanOthers() throws {
        var scheduler = PoolScheduler(PoolScheduler.Configuration(size: 2))
        _ = scheduler.begin()
        var actions = scheduler.workerReady(0) + scheduler.workerReady(1)
        for task in 0..<100 { _ = scheduler.submit(task, &actions) }
        let long = try #require(scheduler.front(of: 0))
        _ = scheduler.taskBegan(long, by: 0)
        var returned: [Int] = []
        while returned.isEmpty, let task = scheduler.front(of: 1) {
            for action in scheduler.taskBegan(task, by: 1) + scheduler.taskFinished(task, by: 1) {
                if case .recall(let task, from: 0) = action { returned.append(task) }
            }
        }
        #expect(returned.count == 1 && returned.first != long)
        // Others have plenty to do: they would not have asked for it.
        #expect(scheduler.waitingCount > 10)
        // What comes back goes to another worker.
        for task in returned { _ = scheduler.recalled(task, from: 0) }
        _ = try scheduler.taskFinished(#require(scheduler.front(of: 1)), by: 1)
        #expect(returned.allSatisfy { scheduler.worker(of: $0) == 1 })
    }

    @Test func workersThatNeverComeUpEndThePool() {
        var world = World(PoolScheduler.Configuration(size: 2, patience: 5))
        world.apply(.submit(retries: 3))
        for _ in 0..<5 {
            let worker = world.workers.keys.min()!
            world.apply(.die(worker))
        }
        #expect(world.hasGivenUp)
        #expect(world.resolutions.values.allSatisfy { $0 == .abandoned })
        #expect(world.starts <= 8)
    }

    @Test func workersThatComeAndGoDoNotEndThePool() {
        var scheduler = PoolScheduler(PoolScheduler.Configuration(size: 1, patience: 3))
        var actions = scheduler.begin()
        for worker in 0..<20 {
            #expect(actions == [.start(worker, after: .zero)])
            #expect(scheduler.workerReady(worker).isEmpty)
            actions = scheduler.workerEnded(worker, at: .zero, isFailure: false)
        }
        #expect(!scheduler.hasGivenUp)
    }

    @Test func onlyTheTaskThatHadBegunCrashes() {
        var world = World(PoolScheduler.Configuration(size: 1, prefetch: 2))
        for _ in 0..<3 { world.apply(.submit(retries: 0)) }
        world.apply(.ready(0))
        world.apply(.begin(0))
        world.apply(.die(0))
        #expect(world.resolutions == [0: .crashed(0, deaths: 1)])
        var random = Seeded(state: 1)
        world.finish(&random)
        #expect(world.resolutions[1] == .finished)
        #expect(world.resolutions[2] == .finished)
    }

    @Test func whatABusyWorkerHasNotBegunGoesToAnIdleOne() {
        var world = World(PoolScheduler.Configuration(size: 2, prefetch: 1))
        world.apply(.ready(0))
        for _ in 0..<2 { world.apply(.submit(retries: 0)) }
        world.apply(.begin(0))
        world.apply(.ready(1))
        #expect(world.workers[0]!.asked == [1])
        world.apply(.giveBack(0))
        #expect(world.workers[1]!.tasks == [1])
    }

    @Test func aRetriedTaskMayCrashSoOftenAndNoMore() {
        var world = World(PoolScheduler.Configuration(size: 1, patience: 100))
        world.apply(.submit(retries: 2))
        for round in 0..<3 {
            #expect(world.resolutions.isEmpty)
            world.apply(.ready(round))
            world.apply(.begin(round))
            world.apply(.die(round))
        }
        #expect(world.resolutions == [0: .crashed(2, deaths: 3)])
    }

    @Test func aWorkerThatIsKilledForATaskDoesNotTakeTheNextOneWithIt() {
        var world = World(PoolScheduler.Configuration(size: 1, prefetch: 1))
        for _ in 0..<2 { world.apply(.submit(retries: 0)) }
        world.apply(.ready(0))
        world.apply(.begin(0))
        world.apply(.withdraw(0, expired: true))
        world.apply(.insist(0))
        #expect(world.workers[0]?.isKilled == true)
        // What it did before the signal came.
        world.apply(.finish(0))
        world.apply(.begin(0))
        world.apply(.die(0))
        #expect(world.resolutions == [0: .expired])
        world.apply(.ready(1))
        #expect(world.workers[1]?.tasks == [1])
    }

    @Test func aWorkerThatMayBeEndedGetsNothingElse() {
        var world = World(PoolScheduler.Configuration(size: 2, prefetch: 1))
        for _ in 0..<2 { world.apply(.submit(retries: 0)) }
        world.apply(.ready(0))
        world.apply(.begin(0))
        world.apply(.withdraw(0, expired: false))
        #expect(world.workers[0]!.asked == [1])
        world.apply(.giveBack(0))
        #expect(world.workers[0]!.tasks == [0])
        // It stopped by itself, and goes on.
        world.apply(.finish(0))
        #expect(world.workers[0]!.tasks == [1])
    }

    /// It is cancelled when the pool cannot know yet that it has begun: it must not run on as nobody's.
    @Test(arguments: [true, false]) func aTaskThatIsCancelledJustWhenItBegins(tells: Bool) {
        for order in 0..<2 {
            var world = World(PoolScheduler.Configuration(size: 1, prefetch: 1), tells: tells)
            for _ in 0..<2 { world.apply(.submit(retries: 0)) }
            world.apply(.ready(0))
            world.apply(.withdraw(0, expired: false))
            #expect(world.resolutions == [0: .cancelled])
            // What it was asked for comes too late.
            world.apply(.begin(0))
            if order == 1 { world.apply(.replace(0)) }
            while world.workers[0]?.asked.isEmpty == false { world.apply(.giveBack(0)) }
            #expect(world.workers[0]?.interrupted == 0)
            world.apply(.insist(0))
            world.apply(.die(0))
            var random = Seeded(state: 1)
            world.finish(&random)
            #expect(world.resolutions == [0: .cancelled, 1: .finished])
        }
    }

    @Test func aTaskThatOutgrowsItsLimitEndsAlone() {
        var world = World(PoolScheduler.Configuration(size: 1, prefetch: 1))
        for _ in 0..<2 { world.apply(.submit(retries: 5)) }
        world.apply(.ready(0))
        world.apply(.begin(0))
        world.apply(.outgrow(0))
        #expect(world.resolutions == [0: .outgrown])
        var random = Seeded(state: 1)
        world.finish(&random)
        #expect(world.resolutions[1] == .finished)
    }

    @Test func workersThatDoNotComeUpInTimeEndThePool() {
        var world = World(PoolScheduler.Configuration(size: 3, patience: 14))
        world.apply(.submit(retries: 0))
        world.apply(.startExpired(0))
        world.apply(.die(0))
        #expect(!world.hasGivenUp)
        world.apply(.startExpired(1))
        world.apply(.die(1))
        #expect(world.hasGivenUp && world.resolutions == [0: .abandoned])
    }

    @Test func tooManyEndsWithinAPeriodEndThePool() {
        for (interval, givesUp) in [(Duration.seconds(1), true), (.seconds(3), false)] {
            let configuration = PoolScheduler.Configuration(size: 1, patience: 100, mostEnds: 5, period: .seconds(10))
            var world = World(configuration)
            for round in 0..<20 where !world.hasEnded {
                // Work gets done all the time.
                world.apply(.submit(retries: 0))
                world.apply(.ready(round))
                world.apply(.begin(round))
                world.apply(.finish(round))
                world.time += interval
                world.apply(.die(round))
            }
            #expect(world.hasGivenUp == givesUp)
            #expect(world.delays.allSatisfy { $0 == .zero })
        }
    }

    @Test func workersAreReplacedEverMoreSlowly() {
        var world = World(PoolScheduler.Configuration(size: 1, patience: 12))
        while !world.hasEnded { world.apply(.die(world.workers.keys.min()!)) }
        let milliseconds = world.delays.map { $0 / .milliseconds(1) }
        #expect(milliseconds == [0, 0, 0, 10, 20, 40, 80, 160, 320, 500, 500, 500])
    }
}

private enum Event: Hashable {
    case submit(retries: Int)
    case ready(Int), begin(Int), finish(Int), giveBack(Int), die(Int), leave(Int)
    case withdraw(Int, expired: Bool)
    case insist(Int)
    case expire(Int), withdrawWaiting
    case outgrow(Int), startExpired(Int)
    case resize(Int)
    case replace(Int)
    case close, terminate
}

/// The scheduler, and workers as the scheduler's actions make them.
private struct World {
    struct Worker {
        var isUp = false
        var tasks: [Int] = []
        var begun: Int?
        var asked: [Int] = []
        var interrupted: Int?
        var mayLeave = false
        var isKilled = false
    }

    var scheduler: PoolScheduler
    var workers: [Int: Worker] = [:]
    var unresolved: Set<Int> = []
    var resolutions: [Int: PoolScheduler.Resolution] = [:]
    var hasEnded = false
    var hasGivenUp = false
    var isClosed = false
    var starts = 0
    var delays: [Duration] = []
    /// What the clock shows.
    var time = Duration.zero
    /// Workers that the scheduler has ended, and how many workers died of a task by themselves.
    private var killed: Set<Int> = []
    private var deaths: [Int: Int] = [:]
    private var retries: [Int: Int] = [:]
    private var nextTask = 0
    private let most: Int
    /// Whether workers say what they have begun; the pool looks by itself otherwise, when something happens.
    private let tells: Bool

    init(_ configuration: PoolScheduler.Configuration, tells: Bool = true) {
        scheduler = PoolScheduler(configuration)
        most = 1 + configuration.prefetch
        self.tells = tells
        perform(scheduler.begin())
    }

    var possibleEvents: [Event] {
        var events: [Event] = []
        if !isClosed, nextTask < 200 { events += [.submit(retries: 0), .submit(retries: 1)] }
        for (id, worker) in workers.sorted(by: { $0.key < $1.key }) {
            events.append(.die(id))
            // What it did before the signal came arrives afterwards.
            if worker.begun != nil { events.append(.finish(id)) }
            if worker.begun == nil, !worker.tasks.isEmpty { events.append(.begin(id)) }
            if !worker.asked.isEmpty { events.append(.giveBack(id)) }
            if !worker.isUp { events.append(.ready(id)) }
            if worker.isKilled { continue }
            if worker.mayLeave, worker.tasks.isEmpty { events.append(.leave(id)) }
            if let task = worker.begun, worker.interrupted == task { events.append(.insist(id)) }
            if worker.isUp { events.append(.replace(id)) }
        }
        for task in unresolved.sorted().prefix(2) {
            events.append(.withdraw(task, expired: task.isMultiple(of: 2)))
        }
        // Not in short schedules, of which there would be too many.
        if nextTask > 3 {
            events.append(.withdrawWaiting)
            for (id, worker) in workers.sorted(by: { $0.key < $1.key }) {
                if scheduler.front(of: id) != nil { events.append(.expire(id)) }
                if worker.begun != nil { events.append(.outgrow(id)) }
                if !worker.isUp { events.append(.startExpired(id)) }
            }
        }
        if !isClosed { events += [.resize(scheduler.configuration.size % 3 + 1), .close, .terminate] }
        return events.isEmpty ? [.terminate] : events
    }

    mutating func apply(_ event: Event) {
        switch event {
        case .submit(let retries):
            var actions: [PoolScheduler.Action] = []
            let task = nextTask
            nextTask += 1
            if scheduler.submit(task, retries: retries, &actions) {
                unresolved.insert(task)
                self.retries[task] = retries
            } else {
                require(isClosed || hasGivenUp)
            }
            perform(actions)
        case .ready(let id):
            workers[id]?.isUp = true
            perform(scheduler.workerReady(id))
        case .begin(let id):
            guard let task = workers[id]?.tasks.first else { return }
            workers[id]!.begun = task
            if tells { perform(scheduler.taskBegan(task, by: id)) }
        case .finish(let id):
            guard let task = workers[id]?.begun else { return }
            workers[id]!.begun = nil
            workers[id]!.tasks.removeAll { $0 == task }
            workers[id]!.asked.removeAll { $0 == task }
            perform(scheduler.taskFinished(task, by: id))
        case .giveBack(let id):
            guard let task = workers[id]?.asked.first else { return }
            workers[id]!.asked.removeFirst()
            guard workers[id]!.tasks.contains(task) else { break }
            if workers[id]!.begun == task {
                look(at: id)
            } else {
                workers[id]!.tasks.removeAll { $0 == task }
                perform(scheduler.recalled(task, from: id))
            }
        case .die(let id), .leave(let id):
            look(at: id)
            let worker = workers.removeValue(forKey: id)
            if let task = worker?.begun, worker?.isKilled == false, unresolved.contains(task) {
                deaths[task, default: 0] += 1
            }
            perform(scheduler.workerEnded(id, at: time))
        case .withdraw(let task, let expired):
            if let id = scheduler.worker(of: task) { look(at: id) }
            perform(scheduler.withdraw(task, as: expired ? .expired : .cancelled))
        case .insist(let id):
            guard let task = workers[id]?.interrupted else { return }
            perform(scheduler.insist(on: task, from: id))
        case .expire(let id):
            look(at: id)
            guard let task = scheduler.front(of: id) else { return }
            let (mayExpire, hasBegun) = (unresolved.contains(task), scheduler.hasBegun(task))
            perform(scheduler.expire(task, by: id))
            if mayExpire { require(resolutions[task] == .expired && (hasBegun || workers[id]!.isKilled)) }
        case .withdrawWaiting:
            for id in workers.keys.sorted() { look(at: id) }
            let waiting = unresolved.filter { !scheduler.hasBegun($0) }
            perform(scheduler.withdrawWaiting())
            require(waiting.allSatisfy { resolutions[$0] == .cancelled })
        case .resize(let size):
            perform(scheduler.resize(to: size))
        case .replace(let id):
            perform(scheduler.replace(id))
        case .outgrow(let id):
            look(at: id)
            guard let task = workers[id]?.begun else { return }
            let mayEnd = unresolved.contains(task)
            perform(scheduler.outgrow(task, by: id))
            if mayEnd { require(resolutions[task] == .outgrown && workers[id]!.isKilled) }
        case .startExpired(let id):
            perform(scheduler.startExpired(id))
        case .close:
            isClosed = true
            perform(scheduler.close())
        case .terminate:
            isClosed = true
            perform(scheduler.terminate())
        }
        check()
    }

    /// Has the scheduler know what a worker has begun that does not tell.
    private mutating func look(at id: Int) {
        if !tells, let task = workers[id]?.begun { perform(scheduler.taskBegan(task, by: id)) }
    }

    private mutating func perform(_ actions: [PoolScheduler.Action]) {
        for action in actions {
            require(!hasEnded, "an action after the end: \(action)")
            switch action {
            case .start(let id, let delay):
                require(workers[id] == nil)
                delays.append(delay)
                workers[id] = Worker()
                starts += 1
            case .send(let task, let id):
                require(unresolved.contains(task))
                require(workers[id]?.isUp == true)
                require(workers.values.allSatisfy { !$0.tasks.contains(task) }, "a task is with two workers")
                workers[id]?.tasks.append(task)
            case .recall(let task, let id):
                require(workers[id]?.tasks.contains(task) == true)
                require(!tells || workers[id]?.begun != task)
                workers[id]?.asked.append(task)
            case .stop(let id): workers[id]?.mayLeave = true
            case .kill(let id):
                workers[id]?.isKilled = true
                killed.insert(id)
            case .interrupt(let task, let id):
                require(workers[id]?.begun == task)
                workers[id]?.interrupted = task
            case .resolve(let task, let resolution):
                require(unresolved.remove(task) != nil, "a task is resolved twice")
                resolutions[task] = resolution
                if case .crashed(let worker, let count) = resolution {
                    require(!killed.contains(worker), "a task is blamed for what the pool did")
                    require(count == deaths[task] && count == retries[task]! + 1)
                }
            case .gaveUp: hasGivenUp = true
            case .ended:
                require(unresolved.isEmpty)
                require(workers.isEmpty)
                hasEnded = true
            }
        }
    }

    private func check() {
        require(scheduler.unresolvedCount == unresolved.count)
        for worker in workers.values where !worker.isKilled {
            guard let task = worker.begun, !unresolved.contains(task) else { continue }
            let isEnding = worker.interrupted == task || !tells && worker.asked.contains(task)
            require(isEnding, "what nobody wants runs on")
        }
        guard scheduler.waitingCount > 0 else { return }
        for (id, worker) in workers where worker.isUp && !worker.mayLeave && !worker.isKilled {
            // One that may be ended for what it runs gets nothing else.
            if worker.begun != nil, worker.interrupted == worker.begun { continue }
            let mayTakeMore = scheduler.configuration.tasksPerWorker == nil && worker.tasks.count < most
            require(!mayTakeMore, "worker \(id) has room while tasks wait")
        }
    }

    /// Lets everything run to its end.
    mutating func finish(_ random: inout some RandomNumberGenerator) {
        if !isClosed { apply(.close) }
        var steps = 0
        while !hasEnded {
            steps += 1
            guard steps < 10_000 else {
                Issue.record("the pool does not end")
                return
            }
            // Only what brings it forward.
            let events = possibleEvents.filter { event in
                switch event {
                case .ready, .begin, .finish, .giveBack, .leave: true
                case .die(let id): workers[id]!.isKilled
                default: false
                }
            }
            guard let event = events.randomElement(using: &random) else {
                Issue.record("nothing can happen any more: \(workers), waiting \(scheduler.waitingCount)")
                return
            }
            apply(event)
        }
    }
}

/// The same numbers for the same seed (xorshift).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// `#expect` for conditions that are checked millions of times: it costs nothing as long as they hold.
private func require(
    _ condition: Bool,
    _ message: @autoclosure () -> String = "a promise of the scheduler is broken",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    if !condition { Issue.record("\(message())", sourceLocation: sourceLocation) }
}
