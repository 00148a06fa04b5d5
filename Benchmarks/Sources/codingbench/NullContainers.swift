// The null coders' containers hold nothing, so one of each type serves for ever: a coder can spare itself the making of
// containers, and what it can spare does not belong into the floor.

/// A few containers, by the type of their keys. Used by one thread; the boxes are never freed.
struct NullContainers: @unchecked Sendable {
    private let slots = UnsafeMutablePointer<(box: AnyObject?, key: ObjectIdentifier?)>.allocate(capacity: 4)

    static let encoding = NullContainers()
    static let decoding = NullContainers()

    private init() {
        slots.initialize(repeating: (nil, nil), count: 4)
    }

    /// The container of this type of keys; `make` makes it the first time.
    @inline(__always)
    func container<Container>(_ key: Any.Type, _ make: () -> Container) -> Container {
        for slot in slots..<(slots + 4) where slot.pointee.key == ObjectIdentifier(key) {
            return UnsafeRawPointer(slot).assumingMemoryBound(to: Container.self).pointee
        }
        let container = make()
        for slot in slots..<(slots + 4) where slot.pointee.key == nil {
            slot.pointee = (
                withUnsafePointer(to: container) { UnsafeRawPointer($0).load(as: AnyObject.self) }, .init(key)
            )
            break
        }
        return container
    }
}
