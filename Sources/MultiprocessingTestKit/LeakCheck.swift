internal import Multiprocessing
internal import MultiprocessingSystem

/// What a process has that a test could leave behind: descriptors, shared mappings, children, the library's threads and files.
///
///     try await LeakCheck.expectNoLeaks {
///         let queue = try Queue<Int>()
///         …
///     }
///
/// Sockets, pipes and memory files are compared by how many there are of each kind, because their numbers differ from run to
/// run; other descriptors by what they point to. What the library keeps for good is left out: the fork server and the
/// processes that it keeps ready, with a socket for each, and one megabyte of shared memory for small objects.
///
/// A look costs some system calls for each descriptor and child, and reads /proc/self/maps.
public struct LeakCheck: Sendable {
    /// A thing that a process has.
    public enum Kind: String, Sendable, CaseIterable {
        /// An open descriptor.
        case descriptor
        /// A mapped memory file.
        case mapping
        /// A child that runs.
        case child
        /// A child that has ended and was not reaped.
        case zombie
        /// A thread of the library's; their names begin with "mp-".
        case thread
        /// A file of the library's in /dev/shm.
        case file
    }

    /// One thing that was found.
    public struct Item: Sendable, Hashable, CustomStringConvertible {
        /// What it is.
        public let kind: Kind
        /// What it is compared by; several things of a process may have the same.
        public let name: String
        /// Which one it is: number, address or process id.
        public let detail: String

        public var description: String { "\(kind.rawValue) \(detail): \(name)" }
    }

    /// What was there.
    public let items: [Item]

    /// Looks at this process.
    public init() {
        // Otherwise a process that is ready would be there, and its socket still on its way.
        ForkServer.settle()
        items =
            Self.descriptors() + Self.mappings() + Self.children() + Self.threads()
            + Self.sharedFiles()
    }

    /// What there is now and was not then.
    ///
    /// - Parameter ignoring: says of an item that it is no leak.
    /// - Returns: of each kind and name those that are too many, the newest if that can be told.
    public func leaks(since before: LeakCheck, ignoring: (Item) -> Bool = { _ in false }) -> [Item] {
        let old = Dictionary(grouping: before.items, by: Key.init)
        let new = Dictionary(grouping: items, by: Key.init)
        var leaks: [Item] = []
        var arenas = 1
        var sockets = max(0, helpers - before.helpers)
        for (key, found) in new {
            let known = Set((old[key] ?? []).map(\.detail))
            var excess = found.count - (old[key]?.count ?? 0)
            if key.kind == .mapping, key.name == Self.arena, excess > 0, arenas > 0 { excess -= 1 }
            if key.kind == .descriptor, key.name == Self.memoryFile, excess > 0, arenas > 0 {
                excess -= 1
                arenas -= 1
            }
            if key.kind == .descriptor, key.name == "socket", excess > 0 {
                let kept = min(excess, sockets)
                excess -= kept
                sockets -= kept
            }
            guard excess > 0 else { continue }
            // Those that were not there before come first.
            let candidates = found.filter { !known.contains($0.detail) } + found.filter { known.contains($0.detail) }
            leaks += candidates.prefix(excess)
        }
        return leaks.filter { !$0.isHelper && !ignoring($0) }.sorted { "\($0)" < "\($1)" }
    }

    private struct Key: Hashable {
        var kind: Kind
        var name: String

        init(_ item: Item) {
            kind = item.kind
            name = item.name
        }
    }

    /// Processes that the fork server keeps ready, and itself.
    private var helpers: Int { items.count { $0.isHelper } }

    static let arena = "\(memoryFile), \(1 << 20) bytes"
    private static let memoryFile = "/memfd:multiprocessing (deleted)"

    // MARK: Looking

    private static func descriptors() -> [Item] {
        Listing.names(in: "/proc/self/fd").compactMap { number in
            // The directory that was just read is closed by now, and links to nothing.
            guard let target = Listing.linkTarget("/proc/self/fd/\(number)") else { return nil }
            // A number of the kernel's follows: "socket:[1234]".
            let name = target.contains(":[") ? String(target.prefix { $0 != ":" }) : target
            return Item(kind: .descriptor, name: name, detail: number)
        }
    }

    private static func mappings() -> [Item] {
        Listing.text(of: "/proc/self/maps").split(separator: "\n").compactMap { line in
            guard let name = line.firstRange(of: "/memfd:") else { return nil }
            let range = line.prefix { $0 != " " }
            let ends = range.split(separator: "-").compactMap { Int($0, radix: 16) }
            guard ends.count == 2 else { return nil }
            return Item(
                kind: .mapping,
                name: "\(line[name.lowerBound...]), \(ends[1] - ends[0]) bytes",
                detail: String(range)
            )
        }
    }

    private static func children() -> [Item] {
        Listing.names(in: "/proc/self/task").flatMap { thread in
            Listing.text(of: "/proc/self/task/\(thread)/children").split(separator: " ")
        }.compactMap { pid in
            // "1234 (name) S …", and the name may hold anything.
            let line = Listing.text(of: "/proc/\(pid)/stat")
            guard let open = line.firstIndex(of: "("), let close = line.lastIndex(of: ")") else { return nil }
            let isZombie = line[close...].dropFirst(2).first == "Z"
            let name = line[line.index(after: open)..<close]
            return Item(kind: isZombie ? .zombie : .child, name: String(name), detail: String(pid))
        }
    }

    private static func threads() -> [Item] {
        Listing.names(in: "/proc/self/task").compactMap { thread in
            let name = Listing.text(of: "/proc/self/task/\(thread)/comm").prefix { $0 != "\n" }
            // The main thread has the process's name.
            guard name.hasPrefix("mp-"), thread != "\(ThisProcess.identifier)" else { return nil }
            return Item(kind: .thread, name: String(name), detail: thread)
        }
    }

    private static func sharedFiles() -> [Item] {
        Listing.names(in: "/dev/shm").filter { $0.hasPrefix("mp_") && !isOfAnother($0) }.map {
            Item(kind: .file, name: $0, detail: "/dev/shm")
        }
    }

    /// Whether a file was made by another process that runs: its name has the maker's stamp in it.
    private static func isOfAnother(_ name: String) -> Bool {
        let parts = name.split(separator: "_")
        guard parts.count > 1, let stamp = UInt64(parts[1], radix: 16) else { return false }
        let maker = ProcessStamp(rawValue: stamp)
        return maker != .current && maker.isAlive
    }
}

extension LeakCheck.Item {
    /// Whether it is a process that the library keeps: the fork server and those that it has ready, which come and go.
    var isHelper: Bool { kind == .child && ["mp-forkserver", "mp-ready", "mp-tracker"].contains(name) }
}
