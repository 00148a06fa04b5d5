// swift-tools-version: 6.1

// A user's package: another module, in another package, with none of our language settings. It runs every capture case
// through ChildProcess, and closures whose code is in a shared library; and it starts processes by other libraries as well.

import PackageDescription

let package = Package(
    name: "ClientPackage",
    dependencies: [
        .package(name: "swift-multiprocessing", path: "../.."),
        .package(path: "Plugin"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        .target(name: "CaptureCases"),
        .executableTarget(
            name: "client",
            dependencies: [
                "CaptureCases",
                .product(name: "Multiprocessing", package: "swift-multiprocessing"),
                .product(name: "Plugin", package: "Plugin"),
            ]
        ),
        .executableTarget(
            name: "coexistence",
            dependencies: [
                .product(name: "Multiprocessing", package: "swift-multiprocessing"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
    ]
)
