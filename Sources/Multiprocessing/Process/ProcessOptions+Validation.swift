internal import MultiprocessingSystem
internal import SystemPackage

extension ProcessOptions {
    /// These options with what a call named itself, and with the default method where none was named.
    func resolved(_ name: String?, _ startMethod: StartMethod?) -> ProcessOptions {
        var options = self
        options.name = name ?? options.name
        options.startMethod = startMethod ?? options.startMethod ?? .default
        return options
    }

    /// `.fork` takes synchronous bodies only.
    func refuseForAsynchronousBody() throws {
        guard startMethod == .fork else { return }
        throw ProcessError(
            .unsupported,
            "A body for .fork must be synchronous: Swift concurrency's threads are not there in a copied process. "
                + "Use .forkServer or .spawn, or a body without await"
        )
    }

    /// Refuses at the call what could only fail in the child.
    func validate() throws {
        func refuse(_ message: String) -> ProcessError { ProcessError(.invalidArgument, message) }
        let method = startMethod ?? .default
        if executable != nil, method != .spawn {
            throw refuse("An executable can be chosen for .spawn only, not for .\(method)")
        }
        for stream in [standardInput, standardOutput] {
            if case .capture = stream.kind { throw refuse("Only standard error can be relayed") }
        }
        guard descriptors.count <= 240 else {
            throw refuse("A process can be given at most 240 descriptors, not \(descriptors.count)")
        }
        guard Set(descriptors).count == descriptors.count else { throw refuse("A descriptor is given twice") }
        for descriptor in descriptors where descriptor.rawValue < 3 {
            throw refuse(
                "Descriptor \(descriptor.rawValue) is a standard stream: set standardInput, standardOutput, standardError"
            )
        }
        for name in environment.keys where name.isEmpty || name.contains("=") || name.utf8.contains(0) {
            throw refuse("\(name.debugDescription) cannot be the name of a variable")
        }
        for case let value? in environment.values where value.utf8.contains(0) {
            throw refuse("The value of a variable cannot hold a NUL")
        }
        if processorAffinity?.isEmpty == true { throw refuse("A process needs at least one processor") }
        if let niceness, !(-20...19).contains(niceness) {
            throw refuse("Niceness is between -20 and 19, not \(niceness)")
        }
        // 32 and 33 are libc's own.
        for signal in ignoredSignals.union(blockedSignals)
        where !(1...64).contains(signal) || [9, 19, 32, 33].contains(signal) {
            throw refuse("\(signalName(signal)) cannot be ignored or blocked")
        }
    }
}
