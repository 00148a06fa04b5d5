internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// A pool's state: the scheduler, the workers and the tasks, under one lock; and the one place where the scheduler's actions
/// are carried out.
///
/// Actions are put into a line under the lock and carried out outside it, by one thread at a time, in that order: whoever
/// finds nobody at it. So messages to a worker keep the order in which the scheduler decided, and no lock is held while
/// something is sent or a result is handed over.
final class PoolCore: Sendable {
    /// What a task needs to be sent, and who waits for it.
    struct Work: Sendable {
        /// The function's number, or zero if `content` is a function without arguments; below zero, it is one that uses the value
        /// that is kept under the opposite number.
        var function: Int
        var content: TravellingBytes
        /// What goes with it, encoded; that of a map goes with its function.
        var baggage: [UInt8]?
        /// What it may take from the moment it begins.
        var timeout: Duration?
        /// The resident memory that its worker may have while it runs.
        var memoryLimit: Int?
        var retries: Int
        /// What errors and reports call it.
        var name: String
        /// Which items of a map it is about.
        var items: Range<Int>?
        var completion: @Sendable (Outcome) -> Void
        /// Whether it is part of what the pool has taken on before, and so is taken on when it was closed since.
        var isPart = false
        /// Whether its items are a loose chunk.
        var isLoose = false
        /// Called with what is known of some of its items before it is resolved.
        var part: (@Sendable (Part) -> Void)?

        init(
            function: Int,
            content: TravellingBytes,
            timeout: Duration?,
            retries: Int,
            name: String,
            completion: @escaping @Sendable (Outcome) -> Void
        ) {
            self.function = function
            self.content = content
            self.timeout = timeout
            self.retries = retries
            self.name = name
            self.completion = completion
        }

        /// Its name, with the item that it is about, or those.
        func description(at position: ChunkPosition? = nil) -> String {
            guard let items else { return name }
            if case .item(let place)? = position, place < items.count {
                return "item \(items.lowerBound + place) of \(name)"
            }
            if items.count == 1 { return "item \(items.lowerBound) of \(name)" }
            return "items \(items.lowerBound) to \(items.upperBound - 1) of \(name)"
        }
    }

    enum Outcome: Sendable {
        /// The encoded result, and the nanoseconds that it took.
        case value(TravellingBytes, Int)
        /// What the task threw, encoded: the user's code that decodes it is not to run on the pool's threads.
        case thrown(TravellingBytes, worker: String)
        case failure(any Error)
        /// A worker ended before it was done with the task's items.
        case lost(Loss)
    }

    /// What a worker says of a task over many items before it is done with it.
    enum Part: Sendable {
        /// Values, as a ``ChunkResult``.
        case values(TravellingBytes)
        /// ``SinglyValues``, from the item at this place on.
        case singly(Int, TravellingBytes)
        /// The items from this place on have not begun, and will not.
        case returned(Int)
    }

    /// How a worker came to end in the middle of a task over many items.
    struct Loss: Sendable {
        var error: any Error
        /// How far it was; nil if that is not known.
        var position: ChunkPosition?
        /// Whether it died of it; otherwise it was ended, for the time that it took.
        var isDeath: Bool
    }

    /// What is to be carried out.
    enum Step {
        case action(PoolScheduler.Action)
        /// Have the workers forget a function that no task wants any more.
        case forget(function: Int)
        /// Tell the observers.
        case event(PoolEvent.Kind)
    }

    /// A function for many tasks, or a value, that each worker is sent once; and the baggage of these tasks.
    struct KeptFunction {
        var content: TravellingBytes
        var baggage: [UInt8]?
    }

    struct WorkerState {
        var link: any WorkerLink
        let name: String
        let start = ContinuousClock.now
        var functions: Set<Int> = []
        /// Ends what takes too long: the start, or the task that it runs or is to run.
        var timer: Task<Void, Never>?
        /// Whether its exit hook runs.
        var isLeaving = false
        /// Looks at the memory that its task uses.
        var memoryWatch: Task<Void, Never>?

        mutating func cancelTimers() {
            timer?.cancel()
            memoryWatch?.cancel()
            (timer, memoryWatch) = (nil, nil)
        }
    }

    struct State {
        var scheduler: PoolScheduler
        var work: [Int: Work] = [:]
        var functions: [Int: KeptFunction] = [:]
        var workers: [Int: WorkerState] = [:]
        /// Why workers ended, and results that arrived: until the scheduler's resolution is carried out.
        var endings: [Int: any Error] = [:]
        var results: [Int: Outcome] = [:]
        /// How much memory tasks used that used too much.
        var excesses: [Int: Int] = [:]
        /// What waits for signals; and the tasks that were not done when the time to drain was over.
        var drain: Task<Void, Never>?
        var undrained: [String] = []
        /// Workers that are to be started after a while.
        var delayed: Set<Int> = []
        /// How far workers were in tasks over many items that they did not finish.
        var positions: [Int: ChunkPosition] = [:]
        /// A slice, because that gives up its first element at no cost.
        var line: ArraySlice<Step> = []
        var isCarryingOut = false
        var pace = TaskPace()
        /// Whether a task that was ever submitted has a limit of its own.
        var hasLimits = false
        var nextTask = 0
        var nextFunction = 1
        var lastFailure: (any Error)?
        /// Only if there are observers: when tasks were submitted, and how many workers ended that no other has replaced.
        var times: [Int: TaskTimes] = [:]
        var replaceable = 0
        var exitFailures: [PoolExitFailure] = []
    }

    let state: Mutex<State>
    let transport: any WorkerTransport
    let name: String
    /// What a task that is to end has to do so by itself.
    let grace: Duration
    let exitTimeout: Duration
    /// When workers are replaced: bytes of resident memory, and time.
    let (memoryPerWorker, timePerWorker): (Int?, Duration?)
    let memoryPerTask: Int?
    let initializerTimeout: Duration?
    let observers: [@Sendable (PoolEvent) -> Void]
    let start = ContinuousClock.now
    /// Set when every task is resolved and every worker is gone.
    let end = OneShot<Void>()

    init(_ configuration: PoolScheduler.Configuration, transport: any WorkerTransport, options: PoolOptions) {
        grace = options.grace
        exitTimeout = options.exitTimeout
        name = options.name
        observers = options.observers
        memoryPerTask = options.memoryPerTask
        initializerTimeout = options.initializerTimeout
        (memoryPerWorker, timePerWorker) = (options.memoryPerWorker, options.timePerWorker)
        state = Mutex(State(scheduler: PoolScheduler(configuration)))
        self.transport = transport
    }

    deinit {
        state.withLock { $0.drain }?.cancel()
    }
}
