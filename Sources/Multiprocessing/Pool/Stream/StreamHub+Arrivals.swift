internal import MultiprocessingSystem
internal import SystemPackage

// Getting to know who connects. Nobody is believed before the secret is proved, and nobody holds up anybody: strangers have a
// deadline, a bound on their number, and a few kilobytes each.

extension StreamHubState {
    mutating func accept() {
        // Bounded, so that a flood does not keep the thread from those who are known.
        for _ in 0..<64 {
            guard let listener else { return }
            do throws(Errno) {
                welcome(SharedDescriptor(try StreamSocket.accept(listener.number)))
            } catch {
                if error == .resourceTemporarilyUnavailable { return }
                // The listener stays ready, so it is not looked at for a while.
                engine.forget(listener.number)
                isDeaf = true
                return watch()
            }
        }
    }

    /// Looks at the listener again.
    mutating func hearAgain() {
        guard isDeaf, let listener else { return }
        if (try? engine.watch(listener.number, token: Self.listenerToken)) != nil { isDeaf = false }
    }

    /// Lets somebody say hello.
    mutating func welcome(_ socket: SharedDescriptor) {
        do throws(Errno) {
            try socket.descriptor.prepareStream(acknowledgedWithin: options.silenceLimit)
            let channel = try StreamChannel(socket, token: nextToken, engine: engine, limit: StreamHello.longest)
            nextToken += 1
            if strangers.count >= options.maximumStrangers {
                // An honest worker says hello at once: whoever has been silent the longest is the least likely to be one.
                dismissFirst("too many others came after it")
            }
            let deadline = ContinuousClock.now + options.helloTimeout
            strangers.append((channel.token, Stranger(channel: channel, deadline: deadline)))
            watch()
        } catch {
            options.onRefusal(StreamError(.outOfResources, "Somebody who connected cannot be served", errno: error))
        }
    }

    /// Looks at what a stranger has said.
    mutating func listen(to index: Int) {
        let channel = strangers[index].stranger.channel
        let received = channel.receive(onlyFirst: true)
        let reason: String
        switch received {
        case .frames(let frames), .more(let frames), .end(let frames, _):
            if let first = frames.first {
                strangers.remove(at: index)
                return meet(channel, first)
            }
            guard case .end = received else { return }
            reason = "it left without a word"
        case .fault(let fault, _):
            reason = "it said no hello: \(fault)"
        }
        strangers.remove(at: index)
        dismiss(channel, reason)
    }

    private mutating func meet(_ channel: StreamChannel, _ frame: StreamFrame) {
        switch StreamHello.check(frame, token) {
        case .stranger(let reason):
            dismiss(channel, reason)
        case .refused(let error):
            refuse(channel, error)
        case .worker(let worker):
            seat(worker, channel)
        }
    }

    /// Gives a worker its place, or has it wait for one.
    private mutating func seat(_ worker: StreamHello.Worker, _ channel: StreamChannel) {
        if let number = worker.place {
            guard let place = places[number], !place.seat.isOpen, place.isFree else {
                return refuse(channel, StreamError(.noPlace, "The worker is not awaited any more"))
            }
            take(number, worker, channel)
        } else if let number = openPlace {
            take(number, worker, channel)
        } else {
            let deadline = ContinuousClock.now + Self.guestPatience
            guests[channel.token] = Guest(channel: channel, worker: worker, deadline: deadline)
            watch()
        }
    }

    private var openPlace: Int? {
        places.filter { $0.value.seat.isOpen && $0.value.isFree }.keys.min()
    }

    private mutating func take(_ number: Int, _ worker: StreamHello.Worker, _ channel: StreamChannel) {
        let seat = places[number]!.seat
        let terms = StreamHello.Terms(
            workerName: seat.name,
            silenceLimit: options.silenceLimit,
            maximumMessage: options.maximumMessage
        )
        guard let frame = try? StreamHello.welcome(terms, token) else { return channel.close() }
        channel.raiseLimit(to: options.maximumMessage)
        places[number]!.channel = channel
        places[number]!.worker = worker
        places[number]!.deadline = nil
        placeOfChannel[channel.token] = number
        pulse.add(channel)
        channel.send(frame)
        channel.send(StreamFrame(kind: .job, content: body))
        seat.join(channel)
    }

    /// A place was opened: one of those who wait may have it.
    mutating func seatGuests() {
        while let number = openPlace, let token = guests.keys.min() {
            let guest = guests.removeValue(forKey: token)!
            take(number, guest.worker, guest.channel)
        }
    }

    // MARK: Letting go

    /// Without an answer: a stranger learns nothing.
    func dismiss(_ channel: StreamChannel, _ reason: String) {
        channel.close()
        options.onRefusal(StreamError(.stranger, "Somebody at \(channel.peer) was let go of: \(reason)"))
    }

    /// With an answer, for one who knows the secret.
    func refuse(_ channel: StreamChannel, _ error: StreamError) {
        if let frame = try? StreamHello.refusal(error, token) { channel.send(frame) }
        // What the socket took is delivered all the same.
        channel.close()
        options.onRefusal(error)
    }

    mutating func dismissStrangers(_ now: ContinuousClock.Instant) {
        while let (_, stranger) = strangers.first, stranger.deadline <= now {
            dismissFirst("it said no hello within \(options.helloTimeout)")
        }
    }

    /// What it has said is looked at first: this thread may be the one that is late.
    private mutating func dismissFirst(_ reason: String) {
        let token = strangers[0].token
        listen(to: 0)
        if strangers.first?.token == token { dismiss(strangers.removeFirst().stranger.channel, reason) }
    }

    mutating func dismissGuests(_ now: ContinuousClock.Instant) {
        for (token, guest) in guests where guest.deadline <= now {
            guests[token] = nil
            refuse(guest.channel, StreamError(.noPlace, "The pool has all the workers that it wants"))
        }
    }
}
