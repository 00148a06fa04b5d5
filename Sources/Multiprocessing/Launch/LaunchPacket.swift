internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The one packet that turns a waiting process into somebody's child.
///
/// Layout, version 2, little-endian: magic (4), flags (4), bytes of the plan (4), bytes of the job (4); then the plan and the
/// job, here or in an attached file. The descriptors beside it, in this order, each present if its flag is set: the memory file
/// with plan and job, the working directory, standard input, output, error; then those that the user passed, as many as the
/// plan names numbers for; then those of the job's handles.
enum LaunchPacket {
    static let magic: UInt32 = 0x3231_504D  // "MP12"

    struct Flags: OptionSet {
        var rawValue: UInt32
        static let attached = Flags(rawValue: 1)
        static let directory = Flags(rawValue: 2)
        static let input = Flags(rawValue: 4)
        static let output = Flags(rawValue: 8)
        static let error = Flags(rawValue: 16)
    }

    /// What goes beside the bytes. Numbers stay the sender's to close.
    struct Attachments {
        var directory: CInt?
        /// Replacements for descriptors 0, 1 and 2.
        var streams: [CInt?] = [nil, nil, nil]
        var passed: [CInt] = []
    }

    /// Sends a launch over a fresh channel, whose buffer is empty: does not wait.
    static func send(
        plan: LaunchPlan,
        job: JobBytes,
        attachments: Attachments,
        over channel: borrowing Descriptor
    ) throws {
        let planBytes = try plan.encoded()
        var flags: Flags = []
        var numbers: [CInt] = []
        // Large jobs go through memory, not through the socket: no bound on their size, and one copy less. So do large plans,
        // which hold the whole environment if that has changed since the process was forked.
        var file: CInt = -1
        defer { if file >= 0 { _ = Descriptor(owning: file) } }
        if planBytes.count + job.count + 16 > Descriptor.maximumPacket {
            file = try Descriptor.memoryFile(holding: [planBytes] + job.pieces).release()
            flags.insert(.attached)
            numbers.append(file)
        }
        if let directory = attachments.directory {
            flags.insert(.directory)
            numbers.append(directory)
        }
        for (stream, flag) in zip(attachments.streams, [Flags.input, .output, .error]) {
            guard let stream else { continue }
            flags.insert(flag)
            numbers.append(stream)
        }
        numbers += attachments.passed
        let handles = job.attachments
        numbers += handles.map(\.number)
        defer { withExtendedLifetime(handles) {} }
        guard numbers.count <= Descriptor.maximumPassed else {
            throw ProcessError(
                .invalidArgument,
                "A process can be given at most 240 descriptors, those of locks, queues and other shared state included"
            )
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + (file >= 0 ? 0 : planBytes.count + job.count))
        for word in [magic, flags.rawValue, UInt32(planBytes.count), UInt32(file >= 0 ? 0 : job.count)] {
            withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) }
        }
        if file < 0 { bytes += EncodedPieces(pieces: [planBytes] + job.pieces).joined() }
        try channel.sendBytes(bytes, passing: numbers, wait: false)
    }

    /// A launch as it arrived. The child that receives it owns the descriptors.
    struct Received {
        var plan: LaunchPlan
        var job: JobStorage
        var directory: CInt?
        var streams: [CInt?]
        var passed: [CInt]
        /// The descriptors of the handles in the job.
        var handles: [CInt]
    }

    /// Takes a packet apart; what does not fit together is an error, never a trap.
    static func decode(_ packet: consuming Packet) throws -> Received {
        let bytes = packet.bytes
        guard !packet.hasLostDescriptors else {
            throw ProcessError(
                .setupFailed,
                "The child could not take the descriptors that it was given",
                errno: .tooManyOpenFiles
            )
        }
        func word(_ index: Int) -> UInt32 {
            bytes[(index * 4)..<(index * 4 + 4)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        guard bytes.count >= 16, word(0) == magic else {
            throw ProcessError(.setupFailed, "A launch packet is malformed: parent and child are not of one build")
        }
        let flags = Flags(rawValue: word(1))
        let (planCount, jobCount) = (Int(word(2)), Int(word(3)))
        let isAttached = flags.contains(.attached)
        guard 16 + (isAttached ? 0 : planCount + jobCount) == bytes.count else {
            throw ProcessError(.setupFailed, "A launch packet is malformed: its parts do not add up")
        }
        var numbers = packet.passed[...]
        func take(_ flag: Flags) -> CInt? { flags.contains(flag) ? numbers.popFirst() : nil }
        let file = take(.attached)
        let directory = take(.directory)
        let streams = [take(.input), take(.output), take(.error)]
        if isAttached, file == nil {
            throw ProcessError(.setupFailed, "A launch packet is malformed: its file is missing")
        }
        // The file is mapped here and closed: the job is read where it lies.
        let content = try file.map { JobStorage(try MappedFile(Descriptor(owning: $0))) } ?? JobStorage(bytes[16...])
        let plan = try decodePlan(content.bytes, planCount)
        let passed = plan.descriptorNumbers.count
        guard passed <= numbers.count else {
            throw ProcessError(.setupFailed, "A launch packet is malformed: descriptors are missing")
        }
        return Received(
            plan: plan,
            job: content.dropping(planCount),
            directory: directory,
            streams: streams,
            passed: Array(numbers.prefix(passed)),
            handles: Array(numbers.dropFirst(passed))
        )
    }

    private static func decodePlan(_ bytes: UnsafeRawBufferPointer, _ count: Int) throws -> LaunchPlan {
        guard count <= bytes.count else {
            throw ProcessError(.setupFailed, "A launch packet is malformed: its plan is cut off")
        }
        return try LaunchPlan(decoding: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }
}
