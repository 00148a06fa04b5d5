internal import MultiprocessingWire

/// What a pool and a worker say to each other, over whatever joins them.
struct PoolMessage: Codable, Sendable {
    enum Kind: UInt8, Codable {
        // To a worker.
        /// Keep a function, or a value, under a number.
        case function
        /// Forget it.
        case forget
        /// Run a task: a function with arguments. Number zero is the function in the content itself; one below zero as well, which
        /// uses the value that is kept under the opposite number.
        case run
        /// Give a task back, if it has not begun. A worker whose place the pool looks at says `began` otherwise.
        case recall
        /// Cancel the Swift task that runs it.
        case cancel
        /// Leave when everything is done.
        case stop

        // From a worker.
        /// Up, and its initialiser has run.
        case ready
        case began
        case recalled
        /// The content is values of a task over many items, which is not done yet.
        case partialResult
        /// The same of a loose chunk: short values, see ``SinglyValues``. The number is the place of the first item.
        case singlyValues
        /// A loose chunk takes long, and what has not begun of it is given back: the items from the number on, perhaps none.
        case returned
        /// The content is the value; the number is the time that it took, in nanoseconds.
        case value
        /// The content is the error.
        case failure
        /// The initialiser threw; the content is its error.
        case setupFailed
        /// Everything is done, and the exit hook is about to run.
        case leaving
        /// The exit hook threw, or took too long; the content is its error.
        case exitFailed
    }

    var kind: Kind
    var task = 0
    var number = 0
    /// Whether a task's items are a loose chunk.
    var isLoose = false
    var content: TravellingBytes?
    /// With a function, or a task that has none: the encoded ``TaskBaggage``, if there is some.
    var baggage: [UInt8]?
}
