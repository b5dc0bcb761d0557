#pragma once

namespace apus {

/// Tells oneDNN's OpenMP, if it has one, to stay on the calling thread: our pool cuts the work.
/// Cheap after the first call of a thread.
void PinProductsToOneThread();

}  // namespace apus
