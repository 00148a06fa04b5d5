internal import MultiprocessingSystem
internal import SystemPackage

/// Making, finding and removing named segments. The protocol is written down in Documentation/Layouts/SharedMemory.md.
enum Segment {
    /// The largest size that is tried at all; far beyond any machine's memory.
    static let largest = 1 << 46

    // MARK: Making

    /// Makes a segment and gives it its name in one step: nobody ever sees it without its size, or unlocked.
    ///
    /// Killed before that step, this process leaves nothing behind; killed after it, the tracker knows already. Blocks the thread
    /// while there is no tracker that takes the report.
    static func create(
        _ name: SegmentName?,
        size: Int,
        removable: Bool,
        deadline: Deadline,
        prepare: (UnsafeMutableRawBufferPointer) throws -> Void
    ) throws -> SegmentUse {
        do {
            let unnamed = try Unnamed.make(size: size, removable: removable, prepare: prepare)
            for attempt in 0... {
                let wanted = if let name { name } else { try SegmentName.unique() }
                if removable {
                    try Runtime.current.tracker.watch(wanted, unnamed.identity, deadline: deadline)
                }
                if try unnamed.place(wanted, mayTryAgain: attempt < mostAttempts, isOurs: name == nil) {
                    return unnamed.use(as: wanted)
                }
            }
            throw Errno.fileExists
        } catch let error as Errno {
            throw failure(error, name, size)
        }
    }

    /// ``create(_:size:removable:deadline:prepare:)`` that suspends the task instead.
    ///
    /// - Throws: also `CancellationError`.
    static func create(
        _ name: SegmentName?,
        size: Int,
        removable: Bool,
        deadline: Deadline,
        prepare: (UnsafeMutableRawBufferPointer) throws -> Void
    ) async throws -> SegmentUse {
        do {
            let unnamed = try Unnamed.make(size: size, removable: removable, prepare: prepare)
            for attempt in 0... {
                let wanted = if let name { name } else { try SegmentName.unique() }
                if removable {
                    try await Runtime.current.tracker.watch(wanted, unnamed.identity, deadline: deadline)
                }
                if try unnamed.place(wanted, mayTryAgain: attempt < mostAttempts, isOurs: name == nil) {
                    return unnamed.use(as: wanted)
                }
            }
            throw Errno.fileExists
        } catch let error as Errno {
            throw failure(error, name, size)
        }
    }

    /// Names of ours are random: a second collision in a row means that something else is wrong.
    private static let mostAttempts = 8

    private static func failure(_ error: Errno, _ name: SegmentName?, _ size: Int) -> SharedStateError {
        if error == .fileExists, let name {
            return SharedStateError(.exists, "Shared memory named \"\(name.text)\" exists already", errno: error)
        }
        if error == .timedOut {
            return SharedStateError(
                .timedOut,
                "The process that is to remove the named shared memory did not start in time",
                errno: error
            )
        }
        return SharedStateError(.outOfResources, "\(size) bytes of named shared memory could not be had", errno: error)
    }

    /// A segment that is made and has no name yet: without it, it goes with this process.
    private struct Unnamed: ~Copyable {
        let identity: FileIdentity
        let file: Descriptor
        let mapping: SharedMapping
        let isRemovable: Bool

        /// - Parameter prepare: writes what is in it.
        static func make(
            size: Int,
            removable: Bool,
            prepare: (UnsafeMutableRawBufferPointer) throws -> Void
        ) throws -> Unnamed {
            guard size > 0, size <= largest else {
                throw SharedStateError(.invalidArgument, "No shared memory has \(size) bytes")
            }
            let file = try SegmentFile.make(size: size, removable: removable)
            let identity = try FileIdentity(of: file)
            let mapping = try SharedMapping(mapping: file, count: size)
            try prepare(UnsafeMutableRawBufferPointer(start: mapping.base, count: size))
            chaosStep("segment.made")
            return Unnamed(identity: identity, file: file, mapping: mapping, isRemovable: removable)
        }

        /// Gives it the name, of which the tracker knows; false if it is taken, and to be tried again with another or once more.
        func place(_ name: SegmentName, mayTryAgain: Bool, isOurs: Bool) throws(Errno) -> Bool {
            chaosStep("segment.watched")
            do throws(Errno) {
                try SegmentFile.name(file, name.text)
                chaosStep("segment.named")
                return true
            } catch {
                if isRemovable { Runtime.current.tracker.forget(identity) }
                guard error == .fileExists, mayTryAgain, isOurs || removeLeftover(name) else { throw error }
                return false
            }
        }

        consuming func use(as name: SegmentName) -> SegmentUse {
            let count = mapping.count
            return SegmentUse(
                file,
                mapping: mapping,
                count: count,
                identity: identity,
                name: name,
                isRemovable: isRemovable
            )
        }
    }

    /// Removes what a program left behind that was killed together with its tracker: ours, to be removed, and in nobody's use.
    private static func removeLeftover(_ name: SegmentName) -> Bool {
        guard let file = try? SegmentFile.open(name.text), let status = try? SegmentFile.status(of: file),
            status.isRemovable, status.owner == ThisProcess.user
        else { return false }
        return removeIfUnused(name, status.identity) != .busy
    }

    // MARK: Finding

    /// Attaches to a segment, whoever made it. One that somebody is about to size (others make the name first) is waited for.
    ///
    /// There is nothing to be woken by: it looks every millisecond.
    static func attach(_ name: SegmentName, deadline: Deadline) throws -> SegmentUse {
        while true {
            let isOver = deadline.hasPassed
            if case .found(let use) = try look(name) { return use }
            if isOver { throw unsized(name) }
            ThisProcess.pause(.milliseconds(1))
        }
    }

    /// ``attach(_:deadline:)`` that suspends the task between the looks.
    static func attach(_ name: SegmentName, deadline: Deadline) async throws -> SegmentUse {
        while true {
            let (isOver, isCancelled) = (deadline.hasPassed, Task.isCancelled)
            if case .found(let use) = try look(name) { return use }
            if isCancelled { throw CancellationError() }
            if isOver { throw unsized(name) }
            // One that a cancellation ends is followed by a last look.
            try? await Task.sleep(for: .milliseconds(1))
        }
    }

    private static func unsized(_ name: SegmentName) -> SharedStateError {
        SharedStateError(.timedOut, "Shared memory named \"\(name.text)\" has no size: nobody has given it one")
    }

    private enum Look {
        case found(SegmentUse)
        case notYet
    }

    private static func look(_ name: SegmentName) throws -> Look {
        do throws(Errno) {
            let file = try SegmentFile.open(name.text)
            chaosStep("segment.opened")
            // Refused while somebody removes it, which then is over in a moment.
            do throws(Errno) {
                try SegmentFile.lock(file, forRemoval: false)
            } catch .resourceTemporarilyUnavailable {
                return .notYet
            }
            let status = try SegmentFile.status(of: file)
            // Removed between the two steps, or between this name's two lives.
            guard status.hasName else { return .notYet }
            guard status.size > 0 else { return .notYet }
            let mapping = try SharedMapping(mapping: file, count: status.size)
            chaosStep("segment.attached")
            return .found(
                SegmentUse(
                    file,
                    mapping: mapping,
                    count: status.size,
                    identity: status.identity,
                    name: name,
                    isRemovable: status.isRemovable && status.owner == ThisProcess.user
                )
            )
        } catch {
            switch error {
            case .noSuchFileOrDirectory:
                throw SharedStateError(.notFound, "There is no shared memory named \"\(name.text)\"", errno: error)
            case .permissionDenied, .tooManySymbolicLinkLevels:
                throw SharedStateError(.refused, "Shared memory named \"\(name.text)\" may not be used", errno: error)
            case .operationNotSupportedByDevice, .isDirectory, .noSuchAddressOrDevice:
                throw SharedStateError(.malformed, "What is named \"\(name.text)\" is no shared memory", errno: error)
            default:
                throw SharedStateError(
                    .outOfResources,
                    "Shared memory named \"\(name.text)\" could not be attached",
                    errno: error
                )
            }
        }
    }

    // MARK: Removing

    enum Removal {
        case removed
        /// The name is gone, or is another segment's by now.
        case gone
        /// Somebody uses it, or it could not be found out.
        case busy
    }

    /// Removes a segment's name if nobody uses it.
    ///
    /// The lock is taken on an open file of its own. One that is shared with a fork's copy would be turned from theirs into
    /// ours, and the kernel would see no conflict.
    static func removeIfUnused(_ name: SegmentName, _ identity: FileIdentity) -> Removal {
        do throws(Errno) {
            let file = try SegmentFile.open(name.text)
            let status = try SegmentFile.status(of: file)
            guard status.identity == identity, status.isRemovable else { return .gone }
            try SegmentFile.lock(file, forRemoval: true)
            chaosStep("segment.removing")
            // Whoever opens it now waits for the lock, and finds that it has no name.
            try SegmentFile.unlink(name.text, identity)
            chaosStep("segment.removed")
            return .removed
        } catch {
            return error == .noSuchFileOrDirectory ? .gone : .busy
        }
    }

    /// Whether a segment has its name still.
    static func isThere(_ name: SegmentName, _ identity: FileIdentity) -> Bool {
        do throws(Errno) {
            return try SegmentFile.status(of: try SegmentFile.open(name.text)).identity == identity
        } catch {
            return error != .noSuchFileOrDirectory
        }
    }

    /// Removes a name at once; whoever uses the segment keeps it.
    static func unlink(_ name: SegmentName, _ identity: FileIdentity?) throws {
        do throws(Errno) {
            let known: FileIdentity
            if let identity {
                known = identity
            } else {
                known = try SegmentFile.status(of: try SegmentFile.open(name.text)).identity
            }
            try SegmentFile.unlink(name.text, known)
            chaosStep("segment.unlinked")
            Runtime.current.tracker.forget(known)
        } catch {
            switch error {
            case .noSuchFileOrDirectory:
                throw SharedStateError(.notFound, "There is no shared memory named \"\(name.text)\"", errno: error)
            default:
                throw SharedStateError(
                    .refused,
                    "The name \"\(name.text)\" may not be removed",
                    errno: error
                )
            }
        }
    }

    /// Removes what programs left behind that were killed together with their trackers. Only names of ours whose makers are dead.
    static func sweep() {
        for text in (try? SegmentFile.names(beginningWith: SegmentName.prefix)) ?? [] {
            guard let name = try? SegmentName(text), let maker = name.maker, !maker.isAlive else { continue }
            _ = removeLeftover(name)
        }
    }
}
