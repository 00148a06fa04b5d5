internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The life of a child that was forked by the fork server or executed by `.spawn`.
///
/// Runs before `main`, on the main thread, and never returns.
enum ChildMain {
    /// Ties this process and its group to the parent's life; what is returned must stay open.
    ///
    /// Both are armed: the group takes along programs that the body started, the process itself a body that left the group.
    static func armLifelines(_ pipe: CInt) throws(Errno) -> [CInt] {
        let pid = ThisProcess.identifier
        let own = try ThisProcess.armLifeline(pipe, owner: pid)
        let group = try ThisProcess.armLifeline(pipe, owner: -pid)
        return [own.release(), group.release()]
    }

    /// Waits for a launch on `channel` and lives it.
    static func serve(channel number: CInt, lifelines: [CInt]) -> Never {
        var channel = number
        do {
            guard let packet = try Descriptor.receive(from: channel) else {
                // The parent let go of a process that it kept ready, or died.
                ThisProcess.exitNow(0)
            }
            var launch = try LaunchPacket.decode(packet)
            try setUp(&launch, channel: &channel, lifelines: lifelines)
            let handles = launch.handles.map { SharedDescriptor(Descriptor(owning: $0)) }
            let job = try ReceivedJob(launch.job, attachments: handles)
            ChildBody.run(job, plan: launch.plan, channel: channel)
        } catch {
            fail(error, over: channel)
        }
    }

    /// Applies a plan. The channel and the handles' descriptors may have to move to other numbers.
    static func setUp(_ launch: inout LaunchPacket.Received, channel: inout CInt, lifelines: [CInt]) throws {
        let plan = launch.plan
        CurrentProcess.become(plan)
        if let address = plan.tracker { Runtime.current.tracker.inherit(address) }
        StartMethod.default = plan.defaultStartMethod
        ThisProcess.setName(String(plan.identity.name.prefix(15)))

        try placeDescriptors(&launch, channel: &channel, lifelines: lifelines)

        if let settings = plan.settings { try apply(settings) }
    }

    private static func apply(_ settings: LaunchSettings) throws {
        if let whole = settings.wholeEnvironment {
            ThisProcess.clearEnvironment()
            for entry in whole { ThisProcess.setEnvironment(entry: entry) }
        }
        for (name, value) in settings.environment { ThisProcess.setEnvironment(name, value) }
        if let path = settings.workingDirectory {
            try attempt("change the working directory to \(path.debugDescription)") { () throws(Errno) in
                try ThisProcess.changeDirectory(to: path)
            }
        }
        if let processors = settings.affinity {
            try attempt("run on processors \(processors)") { () throws(Errno) in try ThisProcess.setAffinity(processors)
            }
        }
        if let niceness = settings.niceness {
            try attempt("take niceness \(niceness)") { () throws(Errno) in
                try ThisProcess.setNiceness(CInt(clamping: niceness))
            }
        }
        // Before the limits, one of which counts the user's processes, and while this process still may.
        if settings.group != nil || settings.user != nil {
            try attempt(
                "run as user \(settings.user.map(String.init) ?? "-"), group \(settings.group.map(String.init) ?? "-")"
            ) {
                () throws(Errno) in
                try ThisProcess.setIdentity(group: settings.group, user: settings.user)
            }
        }
        for limit in settings.limits {
            try attempt("set limit \(limit.resource) to \(limit.amount)") { () throws(Errno) in
                let hard = try ThisProcess.limit(limit.resource).hard
                try ThisProcess.setLimit(limit.resource, soft: min(limit.amount, hard), hard: min(limit.amount, hard))
            }
        }
        if !settings.ignoredSignals.isEmpty || !settings.blockedSignals.isEmpty {
            try attempt("set the signals") { () throws(Errno) in
                try ThisProcess.setSignals(ignored: settings.ignoredSignals, blocked: settings.blockedSignals)
            }
        }
    }

    /// Puts every received descriptor where it belongs.
    private static func placeDescriptors(
        _ launch: inout LaunchPacket.Received,
        channel: inout CInt,
        lifelines: [CInt]
    ) throws {
        if let directory = launch.directory {
            try attempt("enter the parent's working directory") { () throws(Errno) in
                try ThisProcess.changeDirectory(to: Descriptor(owning: directory))
            }
        }
        for (stream, number) in launch.streams.enumerated() {
            guard let number else { continue }
            try attempt("set up standard stream \(stream)") { () throws(Errno) in
                try ThisProcess.move(number, to: CInt(stream))
            }
        }
        for stream in launch.plan.nullStreams {
            try attempt("set standard stream \(stream) to /dev/null") { () throws(Errno) in
                try ThisProcess.move(Descriptor(opening: "/dev/null", flags: 2).release(), to: stream)
            }
        }
        // A passed descriptor keeps its number, and something of ours, or another of them, may be in the way: that moves out
        // first. The lifelines stay armed, because a duplicate shares its open file's owner.
        let targets = Set(launch.plan.descriptorNumbers)
        func outOfTheWay(_ number: CInt) throws(Errno) -> CInt {
            guard targets.contains(number) else { return number }
            defer { _ = Descriptor(owning: number) }
            var minimum: CInt = 3
            while true {
                let copy = try Descriptor(duplicating: number, minimum: minimum)
                if !targets.contains(copy.number) { return copy.release() }
                minimum = copy.number + 1
            }
        }
        var place = channel
        defer { channel = place }
        var handles = launch.handles
        defer { launch.handles = handles }
        try attempt("place the passed descriptors") { () throws(Errno) in
            for own in lifelines { _ = try outOfTheWay(own) }
            place = try outOfTheWay(place)
            handles = try handles.map { (number) throws(Errno) in try outOfTheWay(number) }
            let moved = try launch.passed.map { (number) throws(Errno) in try outOfTheWay(number) }
            for (number, target) in zip(moved, launch.plan.descriptorNumbers) {
                try ThisProcess.move(number, to: target)
            }
        }
    }

    /// Runs a step of the set-up; its failure says what was wanted.
    private static func attempt(_ step: String, _ body: () throws(Errno) -> Void) throws {
        do throws(Errno) {
            try body()
        } catch {
            throw ProcessError(.setupFailed, "The child could not \(step)", errno: error)
        }
    }

    /// Reports that the body never ran, and ends.
    static func fail(_ error: any Error, over channel: CInt) -> Never {
        let known = error as? ProcessError
        let failure = SetupFailure(
            message: known?.message ?? "\(error)",
            errno: known?.errno?.rawValue,
            cannotTravel: known == nil
        )
        if let bytes = try? BinaryEncoder().encode(failure) {
            try? Outcome.notSetUp(.pieces([bytes])).send(over: Descriptor(owning: channel))
        }
        ThisProcess.exitNow(1)
    }
}
