internal import Synchronization
internal import _MultiprocessingShims

/// An executable or library mapped into this process, with its identity.
///
/// `@unchecked Sendable`: the pointers in `raw` lead to the loader's read-only tables.
struct ProcessImage: @unchecked Sendable {
    let raw: mp_image
    /// The last component of its path; empty for the executable.
    let name: String
    let identity: [UInt8]

    init(_ raw: mp_image) {
        self.raw = raw
        let path = String(cString: raw.name)
        name = String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
        identity = [UInt8](unsafeUninitializedCapacity: Int(MP_IMAGE_IDENTITY_SIZE)) { buffer, count in
            withUnsafePointer(to: raw) { mp_image_identity($0, buffer.baseAddress!) }
            count = Int(MP_IMAGE_IDENTITY_SIZE)
        }
    }

    /// What to add to an offset in the image to get an address.
    var base: UInt { UInt(raw.base) }

    func holds(_ address: UInt, size: Int) -> Bool {
        withUnsafePointer(to: raw) { mp_image_holds($0, address, size) }
    }

    func hasFunction(at address: UInt) -> Bool {
        withUnsafePointer(to: raw) { mp_image_has_function($0, address) }
    }
}

/// The images seen so far: reading a build id again for every closure would be waste.
///
/// A library may be unloaded and another take its address: the cache lives as long as the loader's set of images.
enum ProcessImages {
    private struct Cache {
        var generation: UInt64 = 0
        var images: [ProcessImage] = []
    }
    private static let cache = Mutex(Cache())

    static func containing(_ address: UInt) -> ProcessImage? {
        find({ $0.holds(address, size: 1) }) { image in
            UnsafeRawPointer(bitPattern: address).map { mp_image_containing($0, image) } ?? false
        }
    }

    static func named(_ name: String) -> ProcessImage? {
        find({ $0.name == name }) { image in mp_image_named(name, image) }
    }

    private static func find(
        _ matches: (ProcessImage) -> Bool,
        otherwise search: (UnsafeMutablePointer<mp_image>) -> Bool
    ) -> ProcessImage? {
        cache.withLock { cache in
            let generation = mp_image_generation()
            if generation != cache.generation { cache = Cache(generation: generation) }
            if let known = cache.images.first(where: matches) { return known }
            let found = withUnsafeTemporaryAllocation(of: mp_image.self, capacity: 1) { raw in
                search(raw.baseAddress!) ? ProcessImage(raw[0]) : nil
            }
            if let found { cache.images.append(found) }
            return found
        }
    }
}
