{{- /* What every pod has, and no value loosens. */ -}}
{{- define "pdp.restricted" -}}
serviceAccountName: pdp
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: {{ .Values.seccomp }}
    {{- if eq .Values.seccomp "Localhost" }}
    localhostProfile: pdp.json
    {{- end }}
{{- end }}

{{- define "pdp.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "pdp.names" -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
      podSelector:
        matchLabels: {k8s-app: kube-dns}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "pdp.peer" -}}
- to:
    - ipBlock: {cidr: {{ .cidr | quote }}}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end }}

{{- /* A job: name, schedule, seconds, args, mounts, volumes, values of the whole as `root`. */ -}}
{{- define "pdp.job" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {app.kubernetes.io/name: {{ .name }}}
spec:
  schedule: {{ .schedule | quote }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 600
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # a run that failed is looked at, not tried again
      backoffLimit: 0
      activeDeadlineSeconds: {{ .seconds }}
      template:
        metadata:
          # not the labels of the PDP: its service would send calls here
          labels: {app.kubernetes.io/name: {{ .name }}}
        spec:
          restartPolicy: Never
          {{- include "pdp.restricted" .root | nindent 10 }}
          containers:
            - name: {{ .name }}
              image: {{ .root.Values.toolsImage | quote }}
              args: {{- toYaml .args | nindent 16 }}
              securityContext: {{- include "pdp.container" .root | nindent 16 }}
              resources:
                requests: {cpu: 100m, memory: 256Mi}
                limits: {memory: 512Mi}
              volumeMounts:
                - {name: tmp, mountPath: /tmp}
                {{- .mounts | nindent 16 }}
          volumes:
            - name: tmp
              emptyDir: {medium: Memory, sizeLimit: 64Mi}
            {{- .volumes | nindent 12 }}
{{- end }}
