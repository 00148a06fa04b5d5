internal import MultiprocessingSystem
internal import SystemPackage

/// Who is connected to a pool, who is awaited, and what is made of what they send. Of the hub's thread alone.
struct StreamHubState {
    /// Somebody who connected and has not said hello yet.
    struct Stranger {
        var channel: StreamChannel
        var deadline: ContinuousClock.Instant
    }

    /// Somebody who said hello, and for whom there is no place at the moment.
    struct Guest {
        var channel: StreamChannel
        var worker: StreamHello.Worker
        var deadline: ContinuousClock.Instant
    }

    /// A place of the pool's, and how far its worker is.
    struct Place {
        var seat: StreamSeat
        /// Until when a worker that was started has to come.
        var deadline: ContinuousClock.Instant?
        var channel: StreamChannel?
        var worker: StreamHello.Worker?
        /// Whether it said that it is up.
        var isUp = false
        /// Whether it said that it leaves.
        var saidFarewell = false
        /// Whether a process of this machine was started for it, and how that ended.
        var hasProcess = false
        var processEnd: (any Error)?? = nil
        /// Why the pool gave it up.
        var loss: WorkerLost?
        /// By when its process has to have ended, since its stream has.
        var processDeadline: ContinuousClock.Instant?
        /// Nobody is wanted there any more.
        var isVacated = false

        /// Whether somebody may still come.
        var isFree: Bool { channel == nil && loss == nil && !isVacated && processDeadline == nil }
        /// Whether something has to happen soon.
        var isInTransition: Bool { (deadline != nil && channel == nil) || processDeadline != nil }
    }

    let options: StreamWorkers
    let token: WorkerToken
    /// The job that workers run, encoded.
    let body: [UInt8]
    let engine: StreamEngine
    /// Sends signs of life, whatever this thread is at.
    let pulse: StreamPulse
    /// Nil when it does not listen any more.
    var listener: SharedDescriptor?

    var nextToken: UInt64 = 2
    /// In the order in which they came, by the channels' tokens.
    var strangers: [(token: UInt64, stranger: Stranger)] = []
    var guests: [UInt64: Guest] = [:]
    /// By the seats' numbers.
    var places: [Int: Place] = [:]
    /// The places of channels.
    var placeOfChannel: [UInt64: Int] = [:]
    private var nextBeat = ContinuousClock.now
    private var nextLook = ContinuousClock.now
    /// Nobody more can be let in at the moment, for want of descriptors.
    var isDeaf = false

    static let listenerToken: UInt64 = 1
    /// How long somebody for whom there is no place waits for one: another worker may just be leaving.
    static let guestPatience: Duration = .seconds(1)
    /// What a process whose stream has ended has to end itself.
    static let processPatience: Duration = .seconds(5)
    /// How often deadlines are looked at while there are any that are shorter than a beat.
    private static let watchfulness: Duration = .milliseconds(100)

    init(_ options: StreamWorkers, token: WorkerToken, body: [UInt8], listener: SharedDescriptor, engine: StreamEngine)
    {
        self.options = options
        self.token = token
        self.body = body
        self.listener = listener
        self.engine = engine
        pulse = StreamPulse(every: options.beat)
    }

    func listen() throws(Errno) {
        if let listener { try engine.watch(listener.number, token: Self.listenerToken) }
    }

    // MARK: The thread's rounds

    /// How long the thread may sleep.
    var untilNextLook: Duration { max(.zero, nextLook - ContinuousClock.now) }

    /// A deadline was set: has the thread look at the clock often enough for it.
    mutating func watch() { nextLook = min(nextLook, ContinuousClock.now + Self.watchfulness) }

    mutating func serve(_ token: UInt64) {
        if token == Self.listenerToken { return accept() }
        if let number = placeOfChannel[token] {
            places[number]?.channel?.sendMore()
            hear(number)
        } else if guests[token] != nil {
            // One that waits for a place has nothing to say; so it is gone.
            if case .frames(let frames) = guests[token]!.channel.receive(), frames.isEmpty { return }
            guests.removeValue(forKey: token)?.channel.close()
        } else if let index = strangers.firstIndex(where: { $0.token == token }) {
            listen(to: index)
        }
    }

    /// Looks at the clock.
    mutating func look() {
        let now = ContinuousClock.now
        guard now >= nextLook else { return }
        hearAgain()
        dismissStrangers(now)
        dismissGuests(now)
        for number in places.keys.sorted() { lookAfter(number, now) }
        if now >= nextBeat {
            nextBeat = now + options.beat
            for number in places.keys.sorted() { checkLife(number) }
        }
        nextLook = nextBeat
        if isDeaf || !strangers.isEmpty || !guests.isEmpty || places.values.contains(where: \.isInTransition) {
            watch()
        }
    }

    mutating func close() {
        for (_, stranger) in strangers { stranger.channel.close() }
        for guest in guests.values { refuse(guest.channel, StreamError(.noPlace, "The pool has ended")) }
        pulse.end()
        for place in places.values {
            place.channel?.close()
            place.seat.killChild()
        }
        (strangers, guests, places, placeOfChannel) = ([], [:], [:], [:])
        listener = nil
    }

    mutating func carryOut(_ command: StreamHub.Command) {
        switch command {
        case .open(let seat): open(seat)
        case .vacate(let seat): vacate(seat)
        case .processEnded(let seat, let error): processEnded(seat, error)
        case .attach(let socket): welcome(socket)
        case .close: break
        }
    }
}
