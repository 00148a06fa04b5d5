internal import MultiprocessingSystem
internal import SystemPackage

/// Starts one process by the method that its options name.
struct Launcher {
    let name: String
    let number: Int
    let options: ProcessOptions
    let startedAt: String
    let printsErrors: Bool

    private var method: StartMethod { options.startMethod ?? .default }
    private var isDaemon: Bool { options.isDaemon ?? CurrentProcess.value.isDaemon }

    func launch<Success>(_ work: Work<Success>) throws -> ProcessRecord {
        MemoryEvents.noteBaseline()
        // What this process printed before a start comes before what the child prints.
        ThisProcess.flushStandardIO()
        let pipes = RelayPipes(
            output: try RelayPipe(relays: options.standardOutput.isRelay),
            errors: try RelayPipe(relays: options.standardError.isRelay)
        )
        let (pid, channel): (Int32, SharedDescriptor)
        switch work.form {
        case .encoded(let job) where method == .spawn: (pid, channel) = try launchBySpawn(job, pipes)
        case .encoded(let job): (pid, channel) = try launchByForkServer(job, pipes)
        case .here(let body): (pid, channel) = try launchByFork(body, pipes)
        }
        let record = ProcessRecord(
            name: name,
            pid: pid,
            isDaemon: isDaemon,
            startMethod: method,
            terminationGrace: options.terminationGrace,
            startedAt: startedAt,
            channel: channel,
            errors: StreamRelay(
                pipe: pipes.errors.takeReading(),
                to: options.standardError.destination,
                keepsTail: true
            ),
            output: StreamRelay(
                pipe: pipes.output.takeReading(),
                to: options.standardOutput.destination,
                keepsTail: false
            )
        )
        do {
            try Runtime.current.monitor.add(record)
        } catch {
            // Nobody would ever notice its end: it must not live.
            try? record.signal(SignalNumber.kill)
            _ = try? record.waitBlocking(deadline: Deadline(after: .seconds(1)))
            throw error
        }
        if method == .forkServer { Runtime.current.forkServer.refill(onlyIfEmpty: true) }
        return record
    }

    // MARK: The methods

    private func launchByForkServer(_ job: JobBytes, _ pipes: RelayPipes) throws -> (Int32, SharedDescriptor) {
        let server = Runtime.current.forkServer
        // A process that was kept ready may have died meanwhile: then the next one is taken.
        for _ in 0..<(ForkServer.maximumSpares + 8) {
            let ready = try server.take()
            let channel = SharedDescriptor(Descriptor(owning: ready.channel))
            do throws(SendFailure) {
                try send(job, over: channel.descriptor, pipes, hasCurrentEnvironment: ready.environmentIsCurrent)
                return (ready.pid, channel)
            } catch {
                Runtime.current.monitor.reapLater(ready.pid)
                guard error.peerIsGone else { throw error.error }
            }
        }
        throw ProcessError(.startFailed, "Processes kept ready for \(name) died one after the other")
    }

    private func launchBySpawn(_ job: JobBytes, _ pipes: RelayPipes) throws -> (Int32, SharedDescriptor) {
        let pid: Int32
        let channel: SharedDescriptor
        do throws(Errno) {
            let lifeline = try Runtime.current.lifelineNumber()
            let ends = try Descriptor.socketPairNumbers()
            channel = SharedDescriptor(Descriptor(owning: ends.parent))
            let theirs = Descriptor(owning: ends.child)
            pid = try Reexecution.spawn(
                role: .child,
                executable: options.executable?.string,
                channel: theirs.number,
                lifeline: lifeline,
                environment: ThisProcess.environment
            )
        } catch {
            throw Reexecution.failure("\(name) could not be executed", error, executable: options.executable?.string)
        }
        do throws(SendFailure) {
            try send(job, over: channel.descriptor, pipes, hasCurrentEnvironment: true)
        } catch {
            try? ChildControl.signal(pid, SignalNumber.kill)
            Runtime.current.monitor.reapLater(pid)
            throw error.error
        }
        return (pid, channel)
    }

    private func launchByFork<Success: Sendable>(
        _ body: @escaping @Sendable () throws -> Success,
        _ pipes: RelayPipes
    ) throws -> (Int32, SharedDescriptor) {
        let (plan, attachments) = try makePlan(pipes, hasCurrentEnvironment: true)
        do throws(Errno) {
            let lifeline = try Runtime.current.lifelineNumber()
            let ends = try Descriptor.socketPairNumbers()
            let pid: CInt
            do throws(Errno) {
                pid = try Runtime.current.monitor.whilePaused { () throws(Errno) in
                    let pid = try ChildControl.fork()
                    if pid != 0 { return pid }
                    _ = Descriptor(owning: ends.parent)
                    ForkedBody.live(body, plan: plan, attachments: attachments, channel: ends.child, lifeline: lifeline)
                }
            } catch {
                _ = Descriptor(owning: ends.parent)
                _ = Descriptor(owning: ends.child)
                throw error
            }
            _ = Descriptor(owning: ends.child)
            return (pid, SharedDescriptor(Descriptor(owning: ends.parent)))
        } catch {
            throw ProcessError(.startFailed, "\(name) could not be forked", errno: error)
        }
    }

    // MARK: The packet

    private struct SendFailure: Error {
        var error: any Error
        var peerIsGone: Bool
    }

    private func send(
        _ job: JobBytes,
        over channel: borrowing Descriptor,
        _ pipes: RelayPipes,
        hasCurrentEnvironment: Bool
    ) throws(SendFailure) {
        do {
            let (plan, attachments) = try makePlan(pipes, hasCurrentEnvironment: hasCurrentEnvironment)
            // The working directory is entered by descriptor, even if it was renamed or removed.
            let directory = try Descriptor.currentDirectory()
            var all = attachments
            all.directory = directory.number
            try LaunchPacket.send(plan: plan, job: job, attachments: all, over: channel)
        } catch let error as Errno {
            throw SendFailure(
                error: ProcessError(.startFailed, "\(name) could not be sent what it is to do", errno: error),
                peerIsGone: error == .brokenPipe || error == .connectionReset
            )
        } catch {
            throw SendFailure(error: error, peerIsGone: false)
        }
    }

    private func makePlan(
        _ pipes: RelayPipes,
        hasCurrentEnvironment: Bool
    ) throws -> (LaunchPlan, LaunchPacket.Attachments) {
        let current = CurrentProcess.value
        var attachments = LaunchPacket.Attachments()
        var nullStreams: [Int32] = []
        for (index, stream) in [options.standardInput, options.standardOutput, options.standardError].enumerated() {
            let number: CInt? =
                switch stream.kind {
                case .inherit: CInt(index)
                case .null: nil
                case .capture, .lines: index == 1 ? pipes.output.writing : pipes.errors.writing
                case .descriptor(let number): number
                }
            if let number, Descriptor.isOpen(number) {
                attachments.streams[index] = number
            } else if case .descriptor(let number) = stream.kind {
                throw ProcessError(
                    .invalidArgument,
                    "Descriptor \(number), given as standard stream \(index), is not open"
                )
            } else if index > 0 || method == .fork {
                nullStreams.append(Int32(index))
            }
        }
        for descriptor in options.descriptors where !Descriptor.isOpen(descriptor.rawValue) {
            throw ProcessError(.invalidArgument, "Descriptor \(descriptor.rawValue), given to \(name), is not open")
        }
        attachments.passed = options.descriptors.map(\.rawValue)
        let plan = LaunchPlan(
            identity: ProcessIdentity(
                name: name,
                path: current.path + [number],
                isDaemon: isDaemon,
                startMethod: method,
                authenticationKey: current.authenticationKey
            ),
            parent: ParentIdentity(name: current.name, processIdentifier: current.processIdentifier),
            defaultStartMethod: .default,
            nullStreams: nullStreams,
            descriptorNumbers: attachments.passed,
            printsErrors: printsErrors,
            tracker: Runtime.current.tracker.address,
            settings: LaunchSettings(
                options,
                wholeEnvironment: options.clearsEnvironment ? [] : hasCurrentEnvironment ? nil : ThisProcess.environment
            )
        )
        return (plan, attachments)
    }
}

/// The pipes by which a child's standard output and error are relayed.
struct RelayPipes {
    let output: RelayPipe
    let errors: RelayPipe
}

/// The pipe by which a child's stream is relayed; nothing if it is not.
final class RelayPipe {
    private var reading: CInt = -1
    let writing: CInt?

    init(relays: Bool) throws {
        guard relays else {
            writing = nil
            return
        }
        do throws(Errno) {
            let ends = try Descriptor.pipeNumbers()
            (reading, writing) = (ends.read, ends.write)
            let end = Descriptor(owning: ends.read)
            try end.setNonblocking()
            _ = end.release()
        } catch {
            throw ProcessError(.startFailed, "No pipe could be made for a standard stream", errno: error)
        }
    }

    /// The reading end, with its ownership.
    func takeReading() -> SharedDescriptor? {
        guard reading >= 0 else { return nil }
        defer { reading = -1 }
        return SharedDescriptor(Descriptor(owning: reading))
    }

    deinit {
        if reading >= 0 { _ = Descriptor(owning: reading) }
        if let writing { _ = Descriptor(owning: writing) }
    }
}

extension ProcessOptions.Stream {
    var isRelay: Bool {
        switch kind {
        case .capture, .lines: true
        case .inherit, .null, .descriptor: false
        }
    }

    /// Where what is relayed goes.
    var destination: StreamRelay.Destination {
        switch kind {
        case .lines(let receiver): receiver.map { .lines(LineSplitter($0)) } ?? .nowhere
        case .inherit, .null, .descriptor, .capture: .standardError
        }
    }
}
