#!/usr/bin/env bash
# Apply a JobSet that runs one job on several pods, each with GPUs or part of a TPU slice.
#
#   kubernetes.sh --name=NAME --image=IMAGE --claim=CLAIM --pods=2 --gpus=8 [--restarts=20] [--dry-run]
#                 -- --config=FILE --workdir=/data/runs/NAME ...
#   kubernetes.sh ... --pods=4 --tpus=4 --accelerator=tpu-v5-lite-podslice --topology=4x4 -- ...
#
# Requires the JobSet controller. va_jax must be installed in IMAGE, with [cuda] or [tpu]. The volume
# CLAIM (ReadWriteMany) is mounted at /data in every pod. --gpus and --tpus are numbers per pod.
# --dry-run prints the manifest. A pod that receives SIGTERM saves its state and exits with code 75, so
# that the JobSet restarts all pods.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name image claim pods gpus= tpus= accelerator= topology= restarts=20" "$@"
whole pods
((${#given[@]})) || fail "no flags after --; pass --config=FILE --workdir=/data/..."
like name '[a-z]([-a-z0-9]{0,48}[a-z0-9])?' "at most 50 lower-case letters, digits and -, first a letter"
like image '[a-zA-Z0-9][a-zA-Z0-9._/:@-]*' "an image such as registry/va_jax:1.0"
like claim '[a-z0-9]([-a-z0-9.]*[a-z0-9])?' "the name of a PersistentVolumeClaim"
like restarts '[0-9]+' "a whole number"
[[ ${given[*]} != *[[:cntrl:]]* ]] || fail "a flag after -- contains a line break or control character"
if [[ -n $gpus && -z $tpus ]]; then
  whole gpus
  resource="nvidia.com/gpu: $gpus"
  selector=""
  job="--coordinator=$name-pods-0-0.$name:1234 --process=\$JOB_COMPLETION_INDEX --processes=$pods"
elif [[ -n $tpus && -z $gpus ]]; then
  whole tpus
  [[ -n $accelerator && -n $topology ]] || fail "--tpus requires --accelerator and --topology; see --help"
  like accelerator '[a-z0-9]([-a-z0-9]*[a-z0-9])?' "a GKE accelerator such as tpu-v5-lite-podslice"
  like topology '[0-9]+x[0-9]+(x[0-9]+)?' "chips per dimension, such as 4x4"
  resource="google.com/tpu: $tpus"
  selector="
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: \"$accelerator\"
                cloud.google.com/gke-tpu-topology: \"$topology\""
  job="--coordinator=auto"
else
  fail "pass either --gpus=N or --tpus=N"
fi
if ((pods == 1)); then job=""; fi

# A literal block of YAML needs no quoting. Kubernetes reads $(NAME) as a variable and $$(NAME) as text.
flags=$(quoted "${given[@]//\$(/\$\$(}")
manifest="apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: \"$name\"
spec:
  failurePolicy:
    maxRestarts: $restarts
  network:
    enableDNSHostnames: true
    subdomain: \"$name\"
  replicatedJobs:
    - name: pods
      replicas: 1
      template:
        spec:
          backoffLimit: 0
          completionMode: Indexed
          parallelism: $pods
          completions: $pods
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120$selector
              containers:
                - name: va-jax
                  image: \"$image\"
                  command:
                    - sh
                    - -c
                    - |
                      exec python -m va_jax.main --stopped_code=75 $job$flags
                  resources:
                    limits:
                      $resource
                  volumeMounts:
                    - name: data
                      mountPath: /data
                    - name: shared-memory
                      mountPath: /dev/shm
              volumes:
                - name: data
                  persistentVolumeClaim:
                    claimName: \"$claim\"
                - name: shared-memory
                  emptyDir:
                    medium: Memory"
if $dry_run; then
  echo "$manifest"
else
  kubectl apply -f - <<<"$manifest"
fi
