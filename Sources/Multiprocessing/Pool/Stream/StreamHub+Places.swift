internal import MultiprocessingSystem

// The pool's places: how they are filled, what their workers say, and how they come to be empty.

extension StreamHubState {
    mutating func open(_ seat: StreamSeat) {
        var place = Place(seat: seat)
        if !seat.isOpen {
            place.deadline = ContinuousClock.now + options.launchTimeout
            if case .local = options.launcher.kind { place.hasProcess = true }
            watch()
        }
        places[seat.number] = place
        if seat.isOpen { seatGuests() }
    }

    /// Nobody is wanted there: if nobody has come, that is its end.
    mutating func vacate(_ seat: StreamSeat) {
        guard let place = places[seat.number] else { return }
        if place.channel != nil {
            // Somebody came in the meantime.
            return seat.send(PoolMessage(kind: .stop))
        }
        // One that came and has gone is at its end by itself, which is to tell why.
        guard !place.isVacated, place.worker == nil else { return }
        places[seat.number]!.isVacated = true
        seat.killChild()
        if place.hasProcess, place.processEnd == nil { awaitProcess(seat.number) } else { end(seat.number, nil) }
    }

    /// Gives the process of a place some time to end.
    private mutating func awaitProcess(_ number: Int) {
        if places[number]!.processDeadline == nil {
            places[number]!.processDeadline = ContinuousClock.now + Self.processPatience
        }
        watch()
    }

    // MARK: What a worker says

    /// Reads what came from the worker of a place; whether there may be more right now.
    @discardableResult
    mutating func hear(_ number: Int) -> Bool {
        guard let channel = places[number]?.channel else { return false }
        switch channel.receive() {
        case .frames(let frames):
            take(frames, from: number)
        case .more(let frames):
            take(frames, from: number)
            return true
        case .end(let frames, let isWhole):
            take(frames, from: number)
            streamEnded(number, .connectionLost, isWhole: isWhole)
        case .fault(let fault, let frames):
            take(frames, from: number)
            streamEnded(number, .malformed, "\(fault)")
        }
        return false
    }

    private mutating func take(_ frames: [StreamFrame], from number: Int) {
        for frame in frames {
            // What was reported may have come to the place's end.
            guard let seat = places[number]?.seat, places[number]?.channel != nil else { return }
            switch frame.kind {
            case .beat: break
            case .farewell: places[number]!.saidFarewell = true
            case .message, .claim:
                do throws(StreamFault) {
                    guard frame.kind == .message else {
                        try seat.note(claim: StreamMessages.claim(in: frame))
                        continue
                    }
                    let message = try StreamMessages.message(in: frame)
                    try seat.note(message)
                    if message.kind == .ready { places[number]!.isUp = true }
                    seat.report(.message(message))
                } catch {
                    return streamEnded(number, .malformed, "\(error)")
                }
            case .hello, .welcome, .refusal, .job:
                return streamEnded(number, .malformed, "a \(frame.kind) in the middle")
            }
        }
    }

    // MARK: Signs of life

    /// Looks at a place's deadlines.
    mutating func lookAfter(_ number: Int, _ now: ContinuousClock.Instant) {
        guard let place = places[number] else { return }
        if place.channel == nil, place.processDeadline == nil, let deadline = place.deadline, deadline <= now {
            places[number]!.loss = lost(place, .neverCame, "not within \(options.launchTimeout)")
            place.seat.killChild()
            guard place.hasProcess, place.processEnd == nil else { return end(number, places[number]!.loss) }
            awaitProcess(number)
        }
        guard let deadline = place.processDeadline, deadline <= now else { return }
        // It closed its stream and goes on: such a worker is of no use.
        place.seat.killChild()
        if deadline + Self.processPatience <= now { end(number, place.loss) }
    }

    /// Ends a worker of which there was no sign of life.
    mutating func checkLife(_ number: Int) {
        // What has come is looked at first: this thread may be the one that is late.
        hear(number)
        guard let channel = places[number]?.channel else { return }
        channel.sendMore()
        if channel.silence >= options.patience {
            streamEnded(number, .silent, "for \(options.silenceLimit)")
        } else if channel.stall >= options.patience {
            streamEnded(number, .stalled, "for \(options.silenceLimit)")
        }
    }

    // MARK: The end

    private func lost(_ place: Place, _ reason: WorkerLost.Reason, _ detail: String? = nil) -> WorkerLost {
        var error = WorkerLost(reason, worker: place.seat.name, detail: detail)
        error.host = place.worker?.host
        error.processIdentifier = place.worker?.processIdentifier
        error.peer = place.channel?.peer
        return error
    }

    /// The stream of a place's worker has ended, or is of no use any more.
    ///
    /// - Parameter isWhole: whether everything came that the worker has sent.
    private mutating func streamEnded(
        _ number: Int,
        _ reason: WorkerLost.Reason,
        _ detail: String? = nil,
        isWhole: Bool = false
    ) {
        guard let place = places[number], let channel = place.channel else { return }
        let loss = place.saidFarewell && reason == .connectionLost ? nil : lost(place, reason, detail)
        places[number]!.loss = loss
        placeOfChannel[channel.token] = nil
        places[number]!.channel = nil
        pulse.remove(channel)
        place.seat.leave(isWhole: isWhole)
        channel.close()
        guard place.hasProcess else { return end(number, loss) }
        if reason != .connectionLost { place.seat.killChild() }
        if let processEnd = place.processEnd {
            end(number, Self.cause(processEnd, loss))
        } else {
            // Its process tells more.
            awaitProcess(number)
        }
    }

    /// The process of a place has ended, or could not be started.
    mutating func processEnded(_ seat: StreamSeat, _ error: (any Error)?) {
        guard let place = places[seat.number] else { return }
        // Where the function that starts workers threw, and one came all the same.
        if !place.hasProcess, place.channel != nil { return }
        places[seat.number]!.processEnd = .some(error)
        guard place.channel != nil else {
            // It has left its stream before, or never came.
            let cause = Self.cause(error, place.loss)
            let isMissing = place.worker == nil && cause == nil
            return end(seat.number, place.isVacated ? nil : isMissing ? lost(place, .neverCame) : cause)
        }
        // What it sent before it ended is still there. Its end of the stream may be open in a process that it started.
        for _ in 0..<1024 where !hear(seat.number) { break }
        if places[seat.number]?.channel != nil { streamEnded(seat.number, .connectionLost) }
    }

    /// What is to be said of a worker whose process ended like that, and whose stream like this.
    private static func cause(_ processEnd: (any Error)?, _ loss: WorkerLost?) -> (any Error)? {
        // That its process was killed says nothing, if the pool did it because of what it knows.
        if let loss, loss.reason != .connectionLost { return loss }
        return processEnd ?? loss
    }

    private mutating func end(_ number: Int, _ error: (any Error)?) {
        guard let place = places.removeValue(forKey: number) else { return }
        // Those who come by themselves leave when they like, or their machines do: that is no sign of a broken pool.
        let isOwnAffair = place.seat.isOpen && (place.isUp || place.worker == nil)
        place.seat.report(isOwnAffair ? .left(error) : .ended(error))
    }
}
