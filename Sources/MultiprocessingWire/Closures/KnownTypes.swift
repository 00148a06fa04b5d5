internal import Synchronization
internal import _MultiprocessingShims

/// The types that the runtime was asked for: it takes microseconds to find one, and a program's closures name the same ones again
/// and again.
///
/// The addresses in the keys hold as long as no image is unloaded; when the loader's set of images has changed, all is forgotten.
enum KnownTypes {
    enum Key: Hashable {
        /// A name that was put together, and the arguments that it refers to.
        case composed([TypeLookup.Piece], [[ObjectIdentifier?]])
        /// A name in an image, its length, and the arguments that it refers to.
        case written(UnsafeRawPointer, Int, [[ObjectIdentifier?]])
    }

    private struct Cache: @unchecked Sendable {
        // Unchecked: the addresses are compared, and nothing else. Used under `cache`.
        var generation: UInt64 = 0
        var types: [Key: any Any.Type] = [:]
    }

    private static let cache = Mutex(Cache())
    /// A program that makes up types without end is to use no more memory than this.
    private static let most = 4096

    static func find(_ key: Key, otherwise ask: () -> (any Any.Type)?) -> (any Any.Type)? {
        let generation = mp_image_generation()
        let known: (any Any.Type)? = cache.withLock { cache in
            if generation != cache.generation { cache = Cache(generation: generation) }
            return cache.types[key]
        }
        if let known { return known }
        // Outside the lock: the runtime takes locks of its own, and may run code of the program's.
        guard let found = ask() else { return nil }
        cache.withLock { cache in
            guard generation == cache.generation else { return }
            if cache.types.count >= most { cache.types = [:] }
            cache.types[key] = found
        }
        return found
    }
}
