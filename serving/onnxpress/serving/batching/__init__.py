"""One model's requests: the queue, how a batch is run and answered, the thread of long runs."""
