/* A module that loads and is none of ours: its symbol is of an interface that never was. */
const void *lq_cuda_backend_0(void);

__attribute__((visibility("default"))) const void *lq_cuda_backend_0(void)
{
    return (void *)0;
}
