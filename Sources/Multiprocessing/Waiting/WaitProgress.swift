/// How far a wait has come; attempts look at it to decide how far they go.
package struct WaitProgress: Equatable, Sendable {
    /// How often the caller has slept for what it waits for.
    package var sleeps = 0
    /// How often it has slept on the structure's guard since then.
    package var guardSleeps = 0
    /// Whether nothing has happened for some milliseconds, or the caller will not wait: time to look whether those waited for
    /// are alive.
    package var isOverdue = false
    /// How often the caller has tried in vain since it has waited for a millisecond. From one on, newcomers should let it pass.
    package var starved = 0
    /// Whether looking was in vain and a sleep follows unless this attempt succeeds: the moment to leave a mark by which the caller
    /// is woken. Before that it looks at the word for a while, and nobody has to be told.
    package var isAboutToSleep = true
    /// Whether the caller does not wait: it wants to know how things are at this moment.
    package var isLook = false

    /// Whether the caller gives up if this attempt fails: leave nothing behind that is for it alone.
    package var isLast = false

    package init() {}

    /// Before any waiting.
    package static let first = WaitProgress()

    /// What to take a structure's guard with: how far the wait for the guard has come. See ``Attempt/guarded(_:while:)``.
    package var atGuard: WaitProgress {
        var progress = self
        progress.sleeps = guardSleeps
        progress.starved = max(0, guardSleeps - 2)
        return progress
    }

    /// Whether the caller has waited so long that newcomers should let it pass.
    package var isStarving: Bool { starved > 0 }
}
